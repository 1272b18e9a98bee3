package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/lethe-vault/lethe/cmd/lethe/config"
	"github.com/lethe-vault/lethe/telemetry"
)

// watchProcess starts to measure the process, and to trace its requests where
// the settings say so.
func watchProcess(s config.Config, log *slog.Logger) (*telemetry.Telemetry, error) {
	b := thisBuild()
	return telemetry.New(
		telemetry.Build{Version: b.Version, Revision: b.Revision, Go: b.Go},
		telemetry.Traces{Endpoint: s.Trace.Endpoint, Ratio: s.Trace.Ratio, Log: log},
	)
}

// lastSpansWithin bounds how long the end of a server waits for its traces.
const lastSpansWithin = 3 * time.Second

func closeTelemetry(t *telemetry.Telemetry, log *slog.Logger) {
	ctx, cancel := context.WithTimeout(context.Background(), lastSpansWithin)
	defer cancel()
	if err := t.Close(ctx); err != nil {
		log.Warn("the last spans were not sent")
	}
}
