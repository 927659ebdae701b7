package provider

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"
	"github.com/hashicorp/terraform-plugin-go/tfprotov5"
	"github.com/hashicorp/terraform-plugin-go/tfprotov5/tf5server"
	"github.com/mitchellh/go-testing-interface"
)

// Address is what code that asks for hashicorp/azurerm gets in OpenTofu.
const Address = "registry.opentofu.org/hashicorp/azurerm"

// Start serves the provider on a socket of its own until stop is called, which waits for its end. OpenTofu finds it by
// the value of TF_REATTACH_PROVIDERS that is returned, as often as it is run.
func Start(a Azure) (reattach string, stop func(), err error) {
	ctx, cancel := context.WithCancel(context.Background())
	where, ended := make(chan *plugin.ReattachConfig), make(chan struct{})
	failed := make(chan error, 1)
	s := newServer(a)
	go func() {
		failed <- tf5server.Serve(Address, func() tfprotov5.ProviderServer { return s },
			tf5server.WithDebug(ctx, where, ended), tf5server.WithGoPluginLogger(hclog.NewNullLogger()),
			tf5server.WithLoggingSink(&testing.RuntimeT{})) // silent unless TF_LOG is set
	}()
	stop = func() {
		cancel()
		<-ended
		s.client.http.CloseIdleConnections()
	}
	select {
	case c := <-where:
		raw, err := json.Marshal(map[string]any{Address: map[string]any{
			"Protocol": c.Protocol, "ProtocolVersion": c.ProtocolVersion, "Pid": c.Pid, "Test": true,
			"Addr": map[string]string{"Network": c.Addr.Network(), "String": c.Addr.String()},
		}})
		if err != nil {
			stop()
			return "", nil, fmt.Errorf("say where the provider listens: %w", err)
		}
		return string(raw), stop, nil
	case err := <-failed:
		cancel()
		if err == nil {
			err = errors.New("it ended at once")
		}
		return "", nil, fmt.Errorf("start the provider: %w", err)
	case <-time.After(time.Minute):
		cancel()
		return "", nil, errors.New("start the provider: it does not say where it listens")
	}
}
