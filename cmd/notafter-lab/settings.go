package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/config"
	"github.com/notafter/notafter/internal/lab"
)

const pagerSecret = "the lab's own secret"

// settings is the configuration that a user of this small Internet would write, with times that fit certificates of
// minutes.
func settings(w *lab.World, state, address string) (*config.Config, error) {
	c := config.Default()
	c.State, c.Listen, c.BaseURL = config.NewState(state), strings.TrimPrefix(address, "http://"), address
	c.Trust = config.Trust{w.RootsFile}
	c.DNS.Servers = []string{w.DNS.Addr()}
	c.Every, c.TimeToRepair, c.Confirm, c.Gather = config.Duration(w.Every), config.Duration(w.TimeToRepair), config.Duration(w.Confirm), config.Duration(2*time.Second)
	c.Channels = map[string]config.Channel{
		"pager": {PagerDuty: &config.PagerDuty{RoutingKey: config.NewSecret("0123456789abcdef0123456789abcdef"), URL: config.NewAddress(w.Pager.URL("pager") + "/v2/enqueue")}},
		"hook":  {Webhook: &config.Webhook{URL: config.NewAddress(w.Pager.URL("hook") + "/webhook"), Secret: config.NewSecret(pagerSecret)}},
		"mail":  {SMTP: &config.SMTP{Server: w.Pager.SMTPAddr(), From: "notafter@lab.test", To: []string{"mail@lab.test"}, TLS: config.MailNone}},
	}
	c.Routes = map[string]config.Route{"sre": {Mode: config.ModeOwn, Channels: []string{"pager", "hook", "mail"}}}
	c.DefaultRoute, c.Monitor.Route = "sre", "sre"
	c.Monitor.Heartbeat = config.Heartbeat{URL: config.NewAddress(w.Pager.HeartbeatURL("lab")), Every: config.Duration(max(2*w.Every, 10*time.Second))}
	for _, s := range w.Scenes() {
		cert := config.Certificate{Name: s.Name, Names: s.Names, Route: "sre", Owner: "the lab", Issued: config.File(s.Issued), Renewer: config.RenewerNone}
		for _, e := range s.Endpoints {
			t, err := assure.ParseTarget(e)
			if err != nil {
				return nil, fmt.Errorf("scene %s: %w", s.Name, err)
			}
			cert.Endpoints = append(cert.Endpoints, config.Endpoint{Target: t})
		}
		c.Certificates = append(c.Certificates, cert)
	}
	return &c, nil
}
