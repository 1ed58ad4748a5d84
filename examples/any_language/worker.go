package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"sync"
	"time"
)

type object = map[string]any

type job struct {
	ID      string `json:"id"`
	LeaseNo int    `json:"lease_no"`
	Params  object `json:"params"`
	Image   struct{ URL string }
}

var errReject = errors.New("rejected") // wrapped by predict's error: this image will never do; any other: try again later

func predict(image []byte, params object) (any, error) { // your model: bytes in, anything JSON-like out
	return object{"fields": object{"bytes": len(image)}, "summary": fmt.Sprintf("%d bytes", len(image))}, nil
}

var (
	base, _ = url.Parse(os.Getenv("DARKROOM_URL"))
	about   = object{"service": "predict", "model": "image_size", "version": "1", "instance": uuid(), "batch_max": 4}
	mutex   sync.Mutex
	held    = map[string]int{} // what it holds: job id → lease_no
	me      struct {           // the session
		Worker         string
		HeartbeatS     float64 `json:"heartbeat_s"`
		MaxResultBytes int     `json:"max_result_bytes"`
	}
	client  = http.Client{Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	errGone = errors.New("410: the server gave this session up, and its jobs to others")
)

func uuid() string {
	b := make([]byte, 16)
	rand.Read(b)
	b[6], b[8] = b[6]&15|64, b[8]&63|128
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func call(method, path string, body any, answer any) ([]byte, error) { // the same again until the server answers
	to, err := base.Parse(path)
	if err != nil {
		return nil, err
	}
	sent, err := json.Marshal(body)
	if err != nil {
		return nil, err
	}
	for ; ; time.Sleep(time.Second) {
		request, _ := http.NewRequest(method, to.String(), bytes.NewReader(sent))
		request.Header.Set("Content-Type", "application/json")
		if to.Host == base.Host && to.Scheme == base.Scheme { // the key to this host only
			request.Header.Set("Authorization", "Bearer "+os.Getenv("DARKROOM_API_KEY"))
		}
		response, err := client.Do(request)
		if err != nil {
			log.Print(err)
			continue
		}
		said, err := io.ReadAll(response.Body)
		response.Body.Close()
		switch code := response.StatusCode; {
		case err != nil:
			log.Print(err)
		case code == 410:
			return nil, errGone
		case code >= 500 || code == 429:
			log.Printf("%s %s: %d %s", method, path, code, said)
			wait, _ := strconv.Atoi(response.Header.Get("Retry-After"))
			if wait > 1 {
				time.Sleep(time.Duration(wait-1) * time.Second)
			}
		case code >= 300:
			return nil, fmt.Errorf("%s %s: %d %s", method, path, code, said) // a problem document: its `mend` says what to do
		default:
			if answer == nil {
				return said, nil
			}
			if err = json.Unmarshal(said, answer); err == nil {
				return said, nil
			}
			log.Print(err)
		}
	}
}

func beat() { // or the server takes the jobs back after lease_s
	for {
		mutex.Lock()
		worker, pause, jobs := me.Worker, me.HeartbeatS, []object{}
		mutex.Unlock()
		time.Sleep(time.Duration(pause * float64(time.Second)))
		mutex.Lock()
		for id, leaseNo := range held {
			jobs = append(jobs, object{"id": id, "lease_no": leaseNo})
		}
		mutex.Unlock()
		call("POST", "/workers/"+worker+"/heartbeat", object{"jobs": jobs}, &object{}) // the claim meets what is wrong, and sees to it
	}
}

func attempt(j job) (item object) {
	item = object{"id": j.ID, "lease_no": j.LeaseNo}
	fail := func(outcome string, why any) {
		item["outcome"], item["error"] = outcome, object{"type": fmt.Sprintf("%T", why), "message": fmt.Sprint(why)}
	}
	defer func() {
		if why := recover(); why != nil {
			fail("retry", why)
		}
	}()
	image, err := call("GET", j.Image.URL, nil, nil)
	if err != nil {
		fail("retry", err)
		return
	}
	result, err := predict(image, j.Params)
	var written []byte
	if err == nil {
		written, err = json.Marshal(result)
	}
	switch {
	case err == nil && len(written) > me.MaxResultBytes:
		fail("retry", "the result is too large")
	case err == nil:
		item["outcome"], item["result"] = "succeeded", json.RawMessage(written)
	case errors.Is(err, errReject):
		fail("rejected", err)
	default:
		fail("retry", err)
	}
	return
}

func register() {
	mutex.Lock()
	defer mutex.Unlock()
	held = map[string]int{}
	if _, err := call("POST", "/workers/register", about, &me); err != nil {
		log.Fatal(err)
	}
}

func main() {
	register()
	go beat()
	for {
		var claim struct{ Jobs []job }
		_, err := call("POST", "/jobs/claim", object{"worker": me.Worker, "claim_id": uuid(), "max": 4, "wait_s": 25}, &claim)
		if errors.Is(err, errGone) {
			register()
			continue
		} else if err != nil {
			log.Fatal(err)
		}
		mutex.Lock()
		for _, j := range claim.Jobs {
			held[j.ID] = j.LeaseNo
		}
		mutex.Unlock()
		for _, j := range claim.Jobs {
			if _, err := call("POST", "/jobs/complete", object{"worker": me.Worker, "items": []object{attempt(j)}}, &object{}); err != nil {
				log.Print(err)
			}
			mutex.Lock()
			delete(held, j.ID)
			mutex.Unlock()
		}
	}
}
