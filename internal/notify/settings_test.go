package notify

import (
	"strings"
	"testing"
)

// A mistake in the settings is found at the start, names its key, and does not print the secret.
func TestSettings(t *testing.T) {
	smtp := func(change func(*SMTPConfig)) error {
		c := SMTPConfig{Host: "mail.example.com", Username: "u", Password: "p", From: "a@example.com", To: []string{"b@example.com"}}
		change(&c)
		return c.Validate()
	}
	am := func(c AlertmanagerConfig) error { return c.Validate() }
	good := []string{"http://a:9093", "http://b:9093"}
	for want, err := range map[string]error{
		"url: is required":                       WebhookConfig{Secret: secretHMAC}.Validate(),
		"url: must begin with https":             WebhookConfig{URL: "ftp://x/", Secret: secretHMAC}.Validate(),
		"url: names no host":                     SlackConfig{URL: "https:///x"}.Validate(),
		"url: is not an address":                 SlackConfig{URL: "https://hooks.example.com/" + secretHook + "\x7f"}.Validate(),
		"url: has a fragment":                    SlackConfig{URL: "https://x/#y"}.Validate(),
		"secret: is required":                    WebhookConfig{URL: "https://x/"}.Validate(),
		"secret: is shorter than 8":              WebhookConfig{URL: "https://x/", Secret: "abc"}.Validate(),
		"secret: begins or ends with white":      WebhookConfig{URL: "https://x/", Secret: secretHMAC + "\n"}.Validate(),
		"routing_key: is required":               PagerDutyConfig{}.Validate(),
		"routing_key: has 3":                     PagerDutyConfig{RoutingKey: "abc"}.Validate(),
		"routing_key: holds something":           PagerDutyConfig{RoutingKey: secretKey[:31] + "+"}.Validate(),
		"urls: is required":                      am(AlertmanagerConfig{}),
		"urls[1]: is named twice":                am(AlertmanagerConfig{URLs: []string{"http://a", "http://a"}}),
		"urls[1]: must begin":                    am(AlertmanagerConfig{URLs: []string{"http://a", "b:9093"}}),
		"bearer_token: cannot":                   am(AlertmanagerConfig{URLs: good, BearerToken: "x", Username: "y"}),
		`labels: "stage" is set by`:              am(AlertmanagerConfig{URLs: good, Labels: map[string]string{"stage": "x"}}),
		`labels: "a-b" is not`:                   am(AlertmanagerConfig{URLs: good, Labels: map[string]string{"a-b": "x"}}),
		`labels: "team" is empty`:                am(AlertmanagerConfig{URLs: good, Labels: map[string]string{"team": ""}}),
		"token: is required":                     PushoverConfig{User: secretUser}.Validate(),
		"user: is required":                      PushoverConfig{Token: secretToken}.Validate(),
		"retry: must be at least 30":             PushoverConfig{Token: secretToken, User: secretUser, Retry: 5}.Validate(),
		"expire: must be at most 10800":          PushoverConfig{Token: secretToken, User: secretUser, Expire: 20000}.Validate(),
		"expire: is shorter":                     PushoverConfig{Token: secretToken, User: secretUser, Retry: 600, Expire: 60}.Validate(),
		"topic: must be":                         NtfyConfig{Topic: "a/b"}.Validate(),
		"token: cannot be used":                  NtfyConfig{Topic: "a", Token: secretNtfy, Username: "u"}.Validate(),
		"password: is required":                  NtfyConfig{Topic: "a", Username: "u"}.Validate(),
		"host: is required":                      smtp(func(c *SMTPConfig) { c.Host = "" }),
		"host: must be a host name":              smtp(func(c *SMTPConfig) { c.Host = "mail.example.com:587" }),
		"tls: must be":                           smtp(func(c *SMTPConfig) { c.TLS = "maybe" }),
		"tls: none would send":                   smtp(func(c *SMTPConfig) { c.TLS = SMTPNone }),
		"auth: must be one of":                   smtp(func(c *SMTPConfig) { c.Auth = "gssapi" }),
		"username: is required":                  smtp(func(c *SMTPConfig) { c.Username = "" }),
		"from: is not a mail address":            smtp(func(c *SMTPConfig) { c.From = "x" }),
		"to: is required":                        smtp(func(c *SMTPConfig) { c.To = nil }),
		"to[0]: is not":                          smtp(func(c *SMTPConfig) { c.To = []string{"a@example.com\r\nBcc: x@example.com"} }),
		"heartbeat: fail_url: is the same":       second(NewHeartbeat(HeartbeatConfig{URL: "https://x/a", FailURL: "https://x/a"}, HTTPOptions{})),
		"heartbeat: method: must be":             second(NewHeartbeat(HeartbeatConfig{URL: "https://x/a", Method: "PUT"}, HTTPOptions{})),
		`slack channel "ops": url: is required`:  second(NewSlack("ops", SlackConfig{})),
		`smtp channel "post": host: is required`: second(NewSMTP("post", SMTPConfig{})),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
			continue
		}
		noSecrets(t, "error", err.Error())
	}
	for name, err := range map[string]error{
		"slack": SlackConfig{URL: "https://hooks.slack.com/services/T/B/x"}.Validate(), "smtp": smtp(func(*SMTPConfig) {}),
		"smtp to this machine": smtp(func(c *SMTPConfig) { c.Host, c.TLS = "127.0.0.1", SMTPNone }),
		"alertmanager":         am(AlertmanagerConfig{URLs: good, Labels: map[string]string{"team": "sre"}}),
		"ntfy":                 NtfyConfig{Topic: "pages"}.Validate(), "pagerduty": PagerDutyConfig{RoutingKey: secretKey}.Validate(),
		"pushover": PushoverConfig{Token: secretToken, User: secretUser, Retry: 30, Expire: 3600}.Validate(),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }
