package main

import (
	"fmt"

	"github.com/notafter/notafter/internal/app"
)

// newService builds the real product.
func newService(o serviceOptions) (service, error) {
	a, err := app.New(app.Options{Config: o.Config, ConfigPath: o.ConfigPath, Logger: o.Logger, Stdout: o.Stdout, Version: o.Version})
	if err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	return a, nil
}
