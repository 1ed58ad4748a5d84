#!/usr/bin/env bash
# Needs curl 7.71 or later and jq 1.6 or later.
mine=$(mktemp -d) asked= && trap leave EXIT && trap 'asked=1' TERM INT
leave() { kill $(jobs -p) 2> /dev/null; rm -rf "$mine"; }
echo "Authorization: Bearer $DARKROOM_API_KEY" > "$mine/key"      # a file, for arguments are seen by all on the machine
uuid() { cat /proc/sys/kernel/random/uuid 2> /dev/null || uuidgen; }

predict() {                                  # your model: a file and params in, JSON out
  jq -n --argjson bytes "$(($(wc -c < "$1")))" '{fields: {bytes: $bytes}, summary: "\($bytes) bytes"}'
}

call() {                                     # path, file for the answer, body or @file: the same again until the server answers
  local to=(-H @"$mine/key" "${DARKROOM_URL%/}$1") status
  case $1 in http*) to=("$1") ;; esac        # the key goes to this host only
  until status=$(curl -sS "${to[@]}" -H 'Content-Type: application/json' ${3:+--data-binary "$3"} --max-time 60 --retry 1000 \
                      --retry-delay 1 --retry-all-errors -o "$2" -w '%{http_code}') && { [ -z "$3" ] || jq -es '.[0]' "$2" > /dev/null; }; do [ -z "$asked" ] || exit 1; sleep 1; done
  [ "$status" = 410 ] && [ $BASHPID = $$ ] && leave && exec bash "$0"      # the server gave this session up, and its job to others: begin anew
  [[ $status = 2* ]] || { echo "$1 is answered $status: $(cat "$2")" >&2; return 1; }
}

call /workers/register "$mine/me" '{"service": "predict", "model": "image_size", "version": "1", "instance": "'"$(uuid)"'"}' || exit 1
worker=$(jq -r .worker "$mine/me")
while sleep "$(jq .heartbeat_s "$mine/me")"; do                  # beats, or the server takes the job back after lease_s
  call "/workers/$worker/heartbeat" "$mine/beaten" "{\"jobs\": [$(cat "$mine/held" 2> /dev/null)]}"
done &
# Ends when it has done what it holds, at SIGTERM or if the server says so. bash hears a signal when the claim is answered: it waits not too long.
until [ "$asked" ] || jq -e .drain "$mine/beaten" > /dev/null 2>&1; do
  call /jobs/claim "$mine/claim" '{"worker": "'"$worker"'", "claim_id": "'"$(uuid)"'", "max": 1, "wait_s": 5}' || exit 1
  jq -ce '.jobs[]' "$mine/claim" > "$mine/job" || continue
  jq -c '{id, lease_no}' "$mine/job" > "$mine/held"; : > "$mine/result"
  { call "$(jq -r .image.url "$mine/job")" "$mine/image" && predict "$mine/image" "$(jq -c .params "$mine/job")" > "$mine/result" && jq -es 'length == 1' "$mine/result" > /dev/null; } 2> "$mine/error" &&
    done='{outcome: "succeeded", result: $result[0]}' || { done='{outcome: "retry", error: {type: "predict", message: "failed: \($error)"}}'; : > "$mine/result"; }
  jq -c --rawfile error "$mine/error" --slurpfile result "$mine/result" --arg worker "$worker" "{\$worker, items: [. + $done]}" "$mine/held" > "$mine/send"
  call /jobs/complete "$mine/done" "@$mine/send"
  : > "$mine/held"
done
curl -sS -X DELETE -H @"$mine/key" "${DARKROOM_URL%/}/workers/$worker" --max-time 5
exit 0
