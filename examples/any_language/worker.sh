#!/usr/bin/env bash
# Needs curl 7.71 or later, jq 1.6 or later, and pgrep.
mine=$(mktemp -d) && trap 'kill $(jobs -p) $(pgrep -P "$(echo $$ $(jobs -p) | tr " " ,)") 2> /dev/null; rm -rf "$mine"' EXIT
uuid() { cat /proc/sys/kernel/random/uuid 2> /dev/null || uuidgen; }
echo "Authorization: Bearer $DARKROOM_API_KEY" > "$mine/key"      # a file, for arguments are seen by all on the machine
echo '{"service": "predict", "model": "image_size", "version": "1", "instance": "'"$(uuid)"'", "batch_max": 4}' > "$mine/about"

predict() {                                  # your model: a file and params in, JSON out; ends with 65 if this image will never do
  jq -n --argjson bytes "$(($(wc -c < "$1")))" '{fields: {bytes: $bytes}, summary: "\($bytes) bytes"}'
}

call() {                                     # method, path, file for the answer, body: the same again until the server answers
  local to=(-H @"$mine/key" "${DARKROOM_URL%/}$2") status
  case $2 in http*) to=("$2") ;; esac        # the key goes to this host only
  until status=$(curl -sS -X "$1" "${to[@]}" -H 'Content-Type: application/json' ${4:+--data-binary @"$4"} --max-time 60 \
                      --retry 1000 --retry-delay 1 --retry-all-errors -o "$3" -w '%{http_code}') &&
        { [ "$1" = GET ] || jq -es '.[0]' "$3" > /dev/null; }; do sleep 1; done
  case $status in 2*) return 0 ;; 410) return 10 ;; esac
  echo "$1 $2: $status $(cat "$3")" >&2; return 1                 # a problem document: its `mend` says what to do
}

register() {
  call POST /workers/register "$mine/me.new" "$mine/about" || exit 1
  mv "$mine/me.new" "$mine/me"; echo '[]' > "$mine/held"         # what it holds, as beats list it
}

beat() {                                     # or the server takes the jobs back after lease_s
  while sleep "$(jq .heartbeat_s "$mine/me")"; do
    jq '{jobs: .}' "$mine/held" > "$mine/beat"
    call POST "/workers/$(jq -r .worker "$mine/me")/heartbeat" "$mine/beaten" "$mine/beat"
  done
}

attempt() {                                  # what became of a job, as an item of /jobs/complete
  { call GET "$(jq -r .image.url <<< "$1")" "$mine/image" && predict "$mine/image" "$(jq -c .params <<< "$1")" > "$mine/result" &&
      [ -s "$mine/result" ] && jq -e . "$mine/result" && [ "$(wc -c < "$mine/result")" -le "$(jq .max_result_bytes "$mine/me")" ]; } 2> "$mine/error" > /dev/null
  case $? in
    0)  jq -c --slurpfile result "$mine/result" '{id, lease_no, outcome: "succeeded", result: $result[0]}' <<< "$1" ;;
    65) failed rejected "$1" ;;
    *)  failed retry "$1" ;;
  esac
}

failed() {
  jq -c --arg outcome "$1" --arg why "failed: $(tail -c 1000 "$mine/error")" \
     '{id, lease_no, outcome: $outcome, error: {type: "predict", message: $why}}' <<< "$2"
}

register; beat &
while true; do
  jq --arg id "$(uuid)" '{worker, claim_id: $id, max: 4, wait_s: 25}' "$mine/me" > "$mine/ask"
  call POST /jobs/claim "$mine/claim" "$mine/ask"
  case $? in 10) register; continue ;; 1) exit 1 ;; esac          # 10: the server gave this session up, and its jobs to others
  jq '[.jobs[] | {id, lease_no}]' "$mine/claim" > "$mine/held.new"; mv "$mine/held.new" "$mine/held"
  mapfile -t jobs < <(jq -c '.jobs[]' "$mine/claim")
  for job in "${jobs[@]}"; do
    attempt "$job" > "$mine/item"
    jq --slurpfile item "$mine/item" '{worker, items: $item}' "$mine/me" > "$mine/done"
    call POST /jobs/complete "$mine/completed" "$mine/done"
    jq 'del(.[0])' "$mine/held" > "$mine/held.new"; mv "$mine/held.new" "$mine/held"
  done
done
