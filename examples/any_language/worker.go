package main

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"
)

type object = map[string]any

var base, _ = url.Parse(os.Getenv("DARKROOM_URL"))
var client = http.Client{Timeout: time.Minute, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
var held, asked atomic.Value // the job in hand; whether it was asked to end

func predict(image []byte, params any) (any, error) { // your model: bytes in, anything JSON-like out
	return object{"fields": object{"bytes": len(image)}, "summary": fmt.Sprintf("%d bytes", len(image))}, nil
}

func uuid() string {
	b := make([]byte, 16)
	rand.Read(b)
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func ask(to *url.URL, method string, body object) (*http.Response, error) {
	sent, _ := json.Marshal(body)
	request, _ := http.NewRequest(method, to.String(), bytes.NewReader(sent))
	request.Header.Set("Content-Type", "application/json")
	if to.Host == base.Host && to.Scheme == base.Scheme { // the key to this host only
		request.Header.Set("Authorization", "Bearer "+os.Getenv("DARKROOM_API_KEY"))
	}
	return client.Do(request)
}

func call(path, method string, body object) (said []byte, read object, err error) { // the same again until the server answers
	to, err := base.Parse(path)
	for wait := 1; err == nil; time.Sleep(time.Duration(wait) * time.Second) {
		response, lost := ask(to, method, body)
		if lost != nil {
			continue
		}
		said, lost = io.ReadAll(response.Body)
		response.Body.Close()
		if method == "POST" && lost == nil {
			lost = json.Unmarshal(said, &read)
		}
		switch code := response.StatusCode; {
		case code == 410: // the server gave this session up, and its job to others: begin anew
			file, _ := os.Executable()
			err = syscall.Exec(file, os.Args, os.Environ())
		case code < 500 && code != 429 && code >= 300:
			err = fmt.Errorf("%s is answered %s", path, response.Status)
		case code < 300 && lost == nil:
			return said, read, nil
		}
		if wait, _ = strconv.Atoi(response.Header.Get("Retry-After")); wait < 1 {
			wait = 1
		}
	}
	return nil, nil, err
}

func attempt(job object) object { // "rejected" in place of "retry": this image will never do
	image, _, err := call(job["image"].(object)["url"].(string), "GET", nil)
	if err == nil {
		var result any
		if result, err = predict(image, job["params"]); err == nil {
			return object{"id": job["id"], "lease_no": job["lease_no"], "outcome": "succeeded", "result": result}
		}
	}
	return object{"id": job["id"], "lease_no": job["lease_no"], "outcome": "retry", "error": object{"type": "error", "message": err.Error()}}
}

func leave(worker any) { // what it holds goes back at once
	time.AfterFunc(5*time.Second, func() { os.Exit(0) })
	to, _ := base.Parse("/workers/" + worker.(string))
	ask(to, "DELETE", nil)
	os.Exit(0)
}

func main() {
	_, me, err := call("/workers/register", "POST", object{"service": "predict", "model": "image_size", "version": "1", "instance": uuid()})
	held.Store([]object{})
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM)
	go func() { // beats, or the server takes the job back after lease_s
		for err == nil {
			time.Sleep(time.Duration(me["heartbeat_s"].(float64) * float64(time.Second)))
			_, told, _ := call("/workers/"+me["worker"].(string)+"/heartbeat", "POST", object{"jobs": held.Load()})
			if told["drain"] == true && asked.Load() == nil {
				signals <- syscall.SIGTERM
			}
		}
	}()
	go func() { // ends when it has done what it holds; at the second signal, now
		<-signals
		asked.Store(true)
		if len(held.Load().([]object)) > 0 {
			<-signals
		}
		leave(me["worker"])
	}()
	for err == nil {
		var claim object
		if _, claim, err = call("/jobs/claim", "POST", object{"worker": me["worker"], "claim_id": uuid(), "max": 1, "wait_s": 25}); err == nil {
			for _, job := range claim["jobs"].([]any) {
				job := job.(object)
				held.Store([]object{{"id": job["id"], "lease_no": job["lease_no"]}})
				_, _, err = call("/jobs/complete", "POST", object{"worker": me["worker"], "items": []object{attempt(job)}})
				held.Store([]object{})
			}
			if asked.Load() != nil {
				leave(me["worker"])
			}
		}
	}
	log.Fatal(err)
}
