// Creates a profile, two tables and a pipeline, waits until it runs, and removes them, with a client that
// oapi-codegen.yaml generates. Usage: go run . [broker url] [penstock url]
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"os"
	"time"

	"penstock.example/tour/penstock"
)

var ctx = context.Background()

const fields = `{"format": {"type": "json"}, "bad_data": {"behavior": "drop"}, "fields": [
	{"name": "device", "type": "string", "required": true}, {"name": "celsius", "type": "float64", "required": true}]}`

func argument(index int, fallback string) string {
	if len(os.Args) > index {
		return os.Args[index]
	}
	return fallback
}

// must ends the program unless the response is 200; the body of any other one is a problem document.
func must(status int, body []byte, err error) {
	if err != nil {
		log.Fatal(err)
	}
	if status != http.StatusOK {
		log.Fatalf("HTTP %d: %s", status, body)
	}
}

func main() {
	broker, server := argument(1, "mqtt://localhost:1883"), argument(2, "http://127.0.0.1:5115")
	key := func(_ context.Context, request *http.Request) error {
		if value := os.Getenv("PENSTOCK_KEY"); value != "" {
			request.Header.Set("Authorization", "Bearer "+value)
		}
		return nil
	}
	client, err := penstock.NewClientWithResponses(server, penstock.WithRequestEditorFn(key))
	if err != nil {
		log.Fatal(err)
	}
	name := fmt.Sprintf("go_%d", os.Getpid())

	made, err := client.CreateConnectionProfileWithResponse(ctx, nil, penstock.ConnectionProfilePost{
		Name: name, Connector: "mqtt", Config: map[string]any{"url": broker},
	})
	must(made.StatusCode(), made.Body, err)
	profile := made.JSON200.Id
	fmt.Println("Profile", profile)

	etag := made.HTTPResponse.Header.Get("ETag")
	known, err := client.GetConnectionProfileWithResponse(ctx, profile, &penstock.GetConnectionProfileParams{IfNoneMatch: &etag})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("Unchanged:", known.StatusCode() == http.StatusNotModified)

	var schema penstock.ConnectionSchema
	if err := json.Unmarshal([]byte(fields), &schema); err != nil {
		log.Fatal(err)
	}
	var tables []string
	for suffix, config := range map[string]map[string]any{
		"readings": {"topic": name + "/+/readings", "qos": "AtLeastOnce", "type": map[string]any{}},
		"alerts":   {"topic": name + "/alerts", "qos": "AtLeastOnce", "type": map[string]any{"retain": false}},
	} {
		table, err := client.CreateConnectionTableWithResponse(ctx, nil, penstock.ConnectionTablePost{
			Name: name + "_" + suffix, Connector: "mqtt", ConnectionProfileId: &profile, Config: config,
			Schema: &schema,
		})
		must(table.StatusCode(), table.Body, err)
		tables = append(tables, table.JSON200.Id)
	}

	pipeline, err := client.CreatePipelineWithResponse(ctx, nil, penstock.PipelinePost{
		Name: name, Parallelism: 1,
		Query: fmt.Sprintf("INSERT INTO %s_alerts SELECT device, celsius FROM %s_readings WHERE celsius > 90", name, name),
	})
	must(pipeline.StatusCode(), pipeline.Body, err)
	id := pipeline.JSON200.Id
	waitFor(client, id, "Running")
	fmt.Println("Running")

	stop := penstock.PipelinePatchStop("graceful")
	stopped, err := client.PatchPipelineWithResponse(ctx, id, nil, penstock.PipelinePatch{Stop: &stop})
	must(stopped.StatusCode(), stopped.Body, err)
	waitFor(client, id, "Stopped")
	deleted, err := client.DeletePipelineWithResponse(ctx, id, nil)
	must(deleted.StatusCode(), deleted.Body, err)
	for _, table := range tables {
		deleted, err := client.DeleteConnectionTableWithResponse(ctx, table, nil)
		must(deleted.StatusCode(), deleted.Body, err)
	}
	gone, err := client.DeleteConnectionProfileWithResponse(ctx, profile, nil)
	must(gone.StatusCode(), gone.Body, err)
	fmt.Println("Removed")
}

func waitFor(client *penstock.ClientWithResponses, pipeline, state string) {
	for range 600 {
		jobs, err := client.ListPipelineJobsWithResponse(ctx, pipeline)
		must(jobs.StatusCode(), jobs.Body, err)
		if string(jobs.JSON200.Data[0].State) == state {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
	log.Fatal("The job is not ", state)
}
