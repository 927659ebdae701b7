package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/notafter/notafter/internal/assure"
	"github.com/notafter/notafter/internal/config"
	"github.com/notafter/notafter/internal/notify"
)

// senders builds what the configuration's channels are sent through. This is the list of channels.
func senders(c *config.Config, now func() time.Time) (map[string]notify.Sender, error) {
	out := make(map[string]notify.Sender, len(c.Channels))
	var problems []error
	for _, name := range slices.Sorted(maps.Keys(c.Channels)) {
		s, err := sender(name, c.Channels[name], now)
		if err != nil {
			problems = append(problems, fmt.Errorf("channels.%s.%w", name, inFile(c.Channels[name], err)))
			continue
		}
		out[name] = s
	}
	return out, errors.Join(problems...)
}

func sender(name string, c config.Channel, now func() time.Time) (notify.Sender, error) {
	if m := c.SMTP; m != nil {
		return mail(name, m)
	}
	channel, err := httpChannel(name, c)
	if err != nil {
		return nil, err
	}
	return notify.NewHTTPSender(channel, notify.HTTPOptions{Now: now}), nil
}

func httpChannel(name string, c config.Channel) (notify.Channel, error) {
	switch {
	case c.Webhook != nil:
		return notify.NewWebhook(name, notify.WebhookConfig{URL: c.Webhook.URL.Value(), Secret: c.Webhook.Secret.Value()})
	case c.Slack != nil:
		return notify.NewSlack(name, notify.SlackConfig{URL: c.Slack.URL.Value()})
	case c.PagerDuty != nil:
		return notify.NewPagerDuty(name, notify.PagerDutyConfig{RoutingKey: c.PagerDuty.RoutingKey.Value(), URL: c.PagerDuty.URL.Value()})
	case c.Alertmanager != nil:
		a := notify.AlertmanagerConfig{BearerToken: c.Alertmanager.Token.Value(), Labels: c.Alertmanager.Labels}
		for _, u := range c.Alertmanager.URLs {
			a.URLs = append(a.URLs, u.Value())
		}
		return notify.NewAlertmanager(name, a)
	case c.Pushover != nil:
		return notify.NewPushover(name, notify.PushoverConfig{Token: c.Pushover.Token.Value(), User: c.Pushover.User.Value(), Device: c.Pushover.Device, URL: c.Pushover.URL.Value()})
	case c.Ntfy != nil:
		return notify.NewNtfy(name, notify.NtfyConfig{URL: c.Ntfy.Server.Value(), Topic: c.Ntfy.Topic.Value(), Token: c.Ntfy.Token.Value()})
	}
	return nil, errors.New("url: no kind of channel is set")
}

// inFile words a mistake in a channel's settings with the keys that the file has for them.
func inFile(c config.Channel, err error) error {
	kind, other := "webhook", map[string]string{}
	switch {
	case c.Slack != nil:
		kind = "slack"
	case c.SMTP != nil:
		kind, other = "smtp", map[string]string{"host": "server", "port": "server", "username": "user"}
	case c.PagerDuty != nil:
		kind = "pagerduty"
	case c.Alertmanager != nil:
		kind, other = "alertmanager", map[string]string{"bearer_token": "token"}
	case c.Pushover != nil:
		kind = "pushover"
	case c.Ntfy != nil:
		kind, other = "ntfy", map[string]string{"url": "server"}
	}
	if inner := errors.Unwrap(err); inner != nil {
		err = inner // without the channel's name, which is in the key
	}
	key, text, _ := strings.Cut(err.Error(), ": ")
	return fmt.Errorf("%s.%s: %s", kind, cmp.Or(other[key], key), text)
}

// channelCheck asks a channel whether its credentials still hold, where the service can be asked without telling
// anybody. Others are known by their latest delivery only.
func channelCheck(find func(name string) notify.Sender) func(context.Context, assure.Claim) assure.Fact {
	return func(ctx context.Context, c assure.Claim) assure.Fact {
		p, ok := find(c.Subject).(notify.Prober)
		if !ok {
			return nil
		}
		o, checked := p.Probe(ctx)
		if !checked {
			return nil
		}
		return o.Delivered(c.Subject)
	}
}

// mail builds the one channel that is not a request.
func mail(name string, m *config.SMTP) (notify.Sender, error) {
	host, port := m.Server, 0
	if h, p, err := net.SplitHostPort(m.Server); err == nil {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return nil, fmt.Errorf("server: %q is not a port", p)
		}
		host, port = h, int(n)
	}
	return notify.NewSMTP(name, notify.SMTPConfig{
		Host: host, Port: port, TLS: string(m.TLS), Username: m.User, Password: m.Password.Value(), From: m.From, To: m.To,
	})
}
