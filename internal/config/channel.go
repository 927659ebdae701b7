package config

// Route is a group of channels that are all told.
type Route struct {
	// OnCall names a schedule of people. This version has no schedules yet and tells the channels directly.
	OnCall string `yaml:"oncall"`
	// Mode says who chases people until somebody answers: "own" (notafter), "defer" (the system behind the channels), or
	// "backstop" (that system first, then notafter). This version sends to every channel until the channel accepts, and
	// leaves chasing to it; "backstop" is not possible yet.
	Mode Mode `yaml:"mode"`
	// Channels are told, all of them. Two that share nothing are better than one.
	Channels []string `yaml:"channels,required"`
}

// Mode says who chases people.
type Mode string

// Modes of a route.
const (
	ModeOwn      Mode = "own"
	ModeDefer    Mode = "defer"
	ModeBackstop Mode = "backstop"
)

func (Mode) choices() []string {
	return []string{string(ModeOwn), string(ModeDefer), string(ModeBackstop)}
}

// Channel is one way to tell people. Exactly one key says which.
type Channel struct {
	// Webhook posts JSON, signed, to a program of your own.
	Webhook *Webhook `yaml:"webhook"`
	// Slack posts to an incoming webhook of Slack, or of anything that takes the same (Mattermost, Discord with /slack).
	Slack *Slack `yaml:"slack"`
	// SMTP sends mail.
	SMTP *SMTP `yaml:"smtp"`
	// PagerDuty sends to an Events API v2 integration.
	PagerDuty *PagerDuty `yaml:"pagerduty"`
	// Alertmanager sends alerts to Prometheus Alertmanager (API v2).
	Alertmanager *Alertmanager `yaml:"alertmanager"`
	// Pushover rings telephones until somebody answers.
	Pushover *Pushover `yaml:"pushover"`
	// Ntfy publishes to a topic of ntfy.
	Ntfy *Ntfy `yaml:"ntfy"`
}

// Kind is the key that says which channel it is; empty when none or more than one is set.
func (c Channel) Kind() string {
	kind := ""
	for name, set := range map[string]bool{
		"webhook": c.Webhook != nil, "slack": c.Slack != nil, "smtp": c.SMTP != nil, "pagerduty": c.PagerDuty != nil,
		"alertmanager": c.Alertmanager != nil, "pushover": c.Pushover != nil, "ntfy": c.Ntfy != nil,
	} {
		if !set {
			continue
		}
		if kind != "" {
			return ""
		}
		kind = name
	}
	return kind
}

// Webhook posts JSON, signed, to a program of your own.
type Webhook struct {
	// URL is where to post: an address, or a reference to one when it holds a token.
	URL Address `yaml:"url,required"`
	// Secret signs each request (HMAC-SHA256), so that the receiver knows who sent it.
	Secret Secret `yaml:"secret,required"`
}

// Slack posts to an incoming webhook.
type Slack struct {
	// URL refers to the webhook's address. Whoever knows it can post, so it is a secret.
	URL Secret `yaml:"url,required"`
}

// SMTP sends mail.
type SMTP struct {
	// Server is the host of the mail server, with a port if it is not 587 (or 465 with tls: implicit).
	Server string `yaml:"server,required"`
	// From is the sender's address.
	From string `yaml:"from,required"`
	// To are the receivers' addresses.
	To []string `yaml:"to,required"`
	// User signs in to the mail server. Left out, notafter does not sign in.
	User string `yaml:"user"`
	// Password refers to the password of the user.
	Password Secret `yaml:"password"`
	// TLS is "starttls" (the default), "implicit" or "none". "none" is possible only for a server on loopback.
	TLS MailTLS `yaml:"tls"`
}

// MailTLS says how the way to the mail server is protected.
type MailTLS string

// Ways to protect the connection to the mail server. Empty means starttls.
const (
	MailStartTLS MailTLS = "starttls"
	MailImplicit MailTLS = "implicit"
	MailNone     MailTLS = "none"
)

func (MailTLS) choices() []string {
	return []string{string(MailStartTLS), string(MailImplicit), string(MailNone)}
}

// PagerDuty sends to an Events API v2 integration.
type PagerDuty struct {
	// RoutingKey refers to the integration key of the service.
	RoutingKey Secret `yaml:"routing_key,required"`
	// URL is the address of the API where it is not PagerDuty's own (https://events.pagerduty.com/v2/enqueue), as in the
	// European region.
	URL Address `yaml:"url"`
}

// Alertmanager sends alerts to Prometheus Alertmanager.
type Alertmanager struct {
	// URLs are the addresses of every replica, without the path of the API. Not that of a load balancer: Alertmanager
	// wants each replica to hear of each alert.
	URLs []Address `yaml:"urls,required"`
	// Token refers to a bearer token, where one is needed.
	Token Secret `yaml:"token"`
	// Labels are added to every alert, for routing.
	Labels map[string]string `yaml:"labels"`
}

// Pushover rings telephones until somebody answers.
type Pushover struct {
	// Token refers to the token of the application.
	Token Secret `yaml:"token,required"`
	// User refers to the key of the user or group.
	User Secret `yaml:"user,required"`
	// Device names one device. Left out, all of the user's.
	Device string `yaml:"device"`
	// URL is the address of the API where it is not Pushover's own (https://api.pushover.net).
	URL Address `yaml:"url"`
}

// Ntfy publishes to a topic of ntfy.
type Ntfy struct {
	// Server is the address of the server. Left out, https://ntfy.sh.
	Server Address `yaml:"server"`
	// Topic is the topic, or a reference to it: on a public server, who knows it can read along.
	Topic Text `yaml:"topic,required"`
	// Token refers to an access token, where one is needed.
	Token Secret `yaml:"token"`
}
