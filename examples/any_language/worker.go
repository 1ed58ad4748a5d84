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
	ID      string
	LeaseNo int `json:"lease_no"`
	Params  object
	Image   struct{ URL string }
}

type session struct {
	Worker         string
	HeartbeatS     float64  `json:"heartbeat_s"`
	MaxResultBytes int      `json:"max_result_bytes"`
	held           sync.Map // job id → lease_no
}

var (
	errReject = errors.New("rejected") // wrapped by predict's error: this image will never do; any other: try again later
	errGone   = errors.New("410: the server gave this session up, and its jobs to others")
	base, _   = url.Parse(os.Getenv("DARKROOM_URL"))
	about     = object{"service": "predict", "model": "image_size", "version": "1", "instance": uuid(), "batch_max": 4}
	client    = http.Client{Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
)

func predict(image []byte, params object) (any, error) { // your model: bytes in, anything JSON-like out
	return object{"fields": object{"bytes": len(image)}, "summary": fmt.Sprintf("%d bytes", len(image))}, nil
}

func uuid() string {
	b := make([]byte, 16)
	rand.Read(b)
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func call(method, path string, body, answer any) error { // the same again until the server answers
	to, err := base.Parse(path)
	if err != nil {
		return err
	}
	var sent []byte
	if body != nil {
		sent, _ = json.Marshal(body)
	}
	for wait := 1; ; time.Sleep(time.Duration(wait) * time.Second) {
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
		wait = 1
		switch code := response.StatusCode; {
		case err != nil:
		case code == 410:
			return errGone
		case code >= 500 || code == 429:
			err = errors.New(response.Status)
			if after, _ := strconv.Atoi(response.Header.Get("Retry-After")); after > wait {
				wait = after
			}
		case code >= 300: // a problem document: its `mend` says what to do
			return fmt.Errorf("%s %s: %s %s", method, path, response.Status, said)
		default:
			if image, asked := answer.(*[]byte); asked {
				*image = said
			} else {
				err = json.Unmarshal(said, answer)
			}
			if err == nil {
				return nil
			}
		}
		log.Printf("%s %s: %v %s", method, path, err, said)
	}
}

func register() *session {
	me := &session{}
	if err := call("POST", "/workers/register", about, me); err != nil {
		log.Fatal(err)
	}
	go me.beat()
	return me
}

func (me *session) beat() { // or the server takes the jobs back after lease_s
	for err := error(nil); err != errGone; {
		time.Sleep(time.Duration(me.HeartbeatS * float64(time.Second)))
		jobs := []object{}
		me.held.Range(func(id, leaseNo any) bool {
			jobs = append(jobs, object{"id": id, "lease_no": leaseNo})
			return true
		})
		err = call("POST", "/workers/"+me.Worker+"/heartbeat", object{"jobs": jobs}, &object{}) // the claim meets the same, and sees to it
	}
}

func (me *session) attempt(j job) (item object) {
	item = object{"id": j.ID, "lease_no": j.LeaseNo}
	fail := func(outcome string, why any) {
		item["outcome"], item["error"] = outcome, object{"type": fmt.Sprintf("%T", why), "message": fmt.Sprint(why)}
	}
	defer func() {
		if why := recover(); why != nil {
			fail("retry", why)
		}
	}()
	var image, written []byte
	err := call("GET", j.Image.URL, nil, &image)
	if err == nil {
		var result any
		if result, err = predict(image, j.Params); err == nil {
			written, err = json.Marshal(result)
		}
	}
	switch {
	case errors.Is(err, errReject):
		fail("rejected", err)
	case err != nil:
		fail("retry", err)
	case len(written) > me.MaxResultBytes:
		fail("retry", "the result is too large")
	default:
		item["outcome"], item["result"] = "succeeded", json.RawMessage(written)
	}
	return
}

func main() {
	for me := register(); ; {
		var claim struct{ Jobs []job }
		err := call("POST", "/jobs/claim", object{"worker": me.Worker, "claim_id": uuid(), "max": 4, "wait_s": 25}, &claim)
		if err == errGone {
			me = register()
		} else if err != nil {
			log.Fatal(err)
		}
		for _, j := range claim.Jobs {
			me.held.Store(j.ID, j.LeaseNo)
		}
		for _, j := range claim.Jobs {
			done := object{"worker": me.Worker, "items": []object{me.attempt(j)}}
			if err := call("POST", "/jobs/complete", done, &object{}); err != nil {
				log.Print(err)
			}
			me.held.Delete(j.ID)
		}
	}
}
