package provider

import (
	"context"
	"fmt"

	"github.com/hashicorp/terraform-plugin-go/tfprotov5"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// server answers OpenTofu, in protocol 5 as azurerm does.
type server struct {
	absent
	client    *client
	resources map[string]*resource
}

func newServer(a Azure) *server {
	return &server{client: newClient(a), resources: map[string]*resource{
		"azurerm_role_assignment": roleAssignment(), "azurerm_dns_zone": dnsZone(), "azurerm_user_assigned_identity": userAssignedIdentity(),
	}}
}

// failed is an error as OpenTofu shows it.
func failed(err error) []*tfprotov5.Diagnostic {
	return []*tfprotov5.Diagnostic{{Severity: tfprotov5.DiagnosticSeverityError, Summary: err.Error()}}
}

func (s *server) find(name string) (*resource, error) {
	if r := s.resources[name]; r != nil {
		return r, nil
	}
	return nil, fmt.Errorf("this provider has no %s", name)
}

// decode reads the attributes of an object; nil for null.
func (r *resource) decode(v *tfprotov5.DynamicValue) (object, error) {
	value, err := v.Unmarshal(r.kind())
	if err != nil {
		return nil, err
	}
	if value.IsNull() {
		return nil, nil
	}
	var o object
	if err := value.As((*map[string]tftypes.Value)(&o)); err != nil {
		return nil, err
	}
	return o, nil
}

// encode writes an object, or null for nil.
func (r *resource) encode(o object) (*tfprotov5.DynamicValue, error) {
	value := tftypes.NewValue(r.kind(), nil)
	if o != nil {
		value = tftypes.NewValue(r.kind(), map[string]tftypes.Value(o))
	}
	v, err := tfprotov5.NewDynamicValue(r.kind(), value)
	return &v, err
}

func (s *server) GetMetadata(context.Context, *tfprotov5.GetMetadataRequest) (*tfprotov5.GetMetadataResponse, error) {
	res := &tfprotov5.GetMetadataResponse{ServerCapabilities: &tfprotov5.ServerCapabilities{}}
	for name := range s.resources {
		res.Resources = append(res.Resources, tfprotov5.ResourceMetadata{TypeName: name})
	}
	return res, nil
}

func (s *server) GetProviderSchema(context.Context, *tfprotov5.GetProviderSchemaRequest) (*tfprotov5.GetProviderSchemaResponse, error) {
	res := &tfprotov5.GetProviderSchemaResponse{
		ServerCapabilities: &tfprotov5.ServerCapabilities{}, ResourceSchemas: map[string]*tfprotov5.Schema{},
		Provider: &tfprotov5.Schema{Block: &tfprotov5.SchemaBlock{
			Attributes: []*tfprotov5.SchemaAttribute{{Name: "subscription_id", Type: tftypes.String, Optional: true}},
			BlockTypes: []*tfprotov5.SchemaNestedBlock{{TypeName: "features", Nesting: tfprotov5.SchemaNestedBlockNestingModeList, MinItems: 1, MaxItems: 1, Block: &tfprotov5.SchemaBlock{}}},
		}},
	}
	for name, r := range s.resources {
		res.ResourceSchemas[name] = r.schema()
	}
	return res, nil
}

func (s *server) PrepareProviderConfig(_ context.Context, q *tfprotov5.PrepareProviderConfigRequest) (*tfprotov5.PrepareProviderConfigResponse, error) {
	return &tfprotov5.PrepareProviderConfigResponse{PreparedConfig: q.Config}, nil
}

// ConfigureProvider needs nothing of the configuration: where Azure is was said to [Start].
func (s *server) ConfigureProvider(context.Context, *tfprotov5.ConfigureProviderRequest) (*tfprotov5.ConfigureProviderResponse, error) {
	return &tfprotov5.ConfigureProviderResponse{}, nil
}

func (s *server) StopProvider(context.Context, *tfprotov5.StopProviderRequest) (*tfprotov5.StopProviderResponse, error) {
	return &tfprotov5.StopProviderResponse{}, nil
}

func (s *server) ValidateResourceTypeConfig(_ context.Context, q *tfprotov5.ValidateResourceTypeConfigRequest) (*tfprotov5.ValidateResourceTypeConfigResponse, error) {
	r, err := s.find(q.TypeName)
	if err != nil {
		return &tfprotov5.ValidateResourceTypeConfigResponse{Diagnostics: failed(err)}, nil
	}
	o, err := r.decode(q.Config)
	if err != nil {
		return &tfprotov5.ValidateResourceTypeConfigResponse{Diagnostics: failed(err)}, nil
	}
	if r.invalid != nil {
		if why := r.invalid(o); why != "" {
			return &tfprotov5.ValidateResourceTypeConfigResponse{Diagnostics: failed(fmt.Errorf("%s", why))}, nil
		}
	}
	return &tfprotov5.ValidateResourceTypeConfigResponse{}, nil
}

// UpgradeResourceState reads what OpenTofu kept; there is one version of it.
func (s *server) UpgradeResourceState(_ context.Context, q *tfprotov5.UpgradeResourceStateRequest) (*tfprotov5.UpgradeResourceStateResponse, error) {
	res := &tfprotov5.UpgradeResourceStateResponse{}
	r, err := s.find(q.TypeName)
	if err == nil {
		var value tftypes.Value
		if value, err = q.RawState.Unmarshal(r.kind()); err == nil {
			var v tfprotov5.DynamicValue
			v, err = tfprotov5.NewDynamicValue(r.kind(), value)
			res.UpgradedState = &v
		}
	}
	if err != nil {
		res.Diagnostics = failed(fmt.Errorf("read the state of a %s: %w", q.TypeName, err))
	}
	return res, nil
}

func (s *server) ReadResource(ctx context.Context, q *tfprotov5.ReadResourceRequest) (*tfprotov5.ReadResourceResponse, error) {
	state, err := s.reread(ctx, q.TypeName, q.CurrentState)
	if err != nil {
		return &tfprotov5.ReadResourceResponse{Diagnostics: failed(err)}, nil
	}
	return &tfprotov5.ReadResourceResponse{NewState: state, Private: q.Private}, nil
}

func (s *server) reread(ctx context.Context, name string, state *tfprotov5.DynamicValue) (*tfprotov5.DynamicValue, error) {
	r, err := s.find(name)
	if err != nil {
		return nil, err
	}
	o, err := r.decode(state)
	if err != nil {
		return nil, err
	}
	there, err := r.read(ctx, s.client, o)
	if err != nil {
		return nil, err
	}
	if !there {
		o = nil
	}
	return r.encode(o)
}

func (s *server) PlanResourceChange(_ context.Context, q *tfprotov5.PlanResourceChangeRequest) (*tfprotov5.PlanResourceChangeResponse, error) {
	res := &tfprotov5.PlanResourceChangeResponse{PlannedPrivate: q.PriorPrivate}
	r, err := s.find(q.TypeName)
	if err != nil {
		return &tfprotov5.PlanResourceChangeResponse{Diagnostics: failed(err)}, nil
	}
	var side [3]object
	for i, v := range []*tfprotov5.DynamicValue{q.Config, q.PriorState, q.ProposedNewState} {
		if side[i], err = r.decode(v); err != nil {
			return &tfprotov5.PlanResourceChangeResponse{Diagnostics: failed(err)}, nil
		}
	}
	config, prior, proposed := side[0], side[1], side[2]
	if proposed == nil { // it goes
		res.PlannedState = q.ProposedNewState
		return res, nil
	}
	planned, forced := r.plan(config, prior, proposed)
	for _, name := range forced {
		res.RequiresReplace = append(res.RequiresReplace, tftypes.NewAttributePath().WithAttributeName(name))
	}
	if res.PlannedState, err = r.encode(planned); err != nil {
		res.Diagnostics = failed(err)
	}
	return res, nil
}

func (s *server) ApplyResourceChange(ctx context.Context, q *tfprotov5.ApplyResourceChangeRequest) (*tfprotov5.ApplyResourceChangeResponse, error) {
	state, err := s.apply(ctx, q)
	res := &tfprotov5.ApplyResourceChangeResponse{NewState: state, Private: q.PlannedPrivate}
	if err != nil {
		// Nothing that was refused is in Azure: what was there before still is.
		res.NewState, res.Diagnostics = q.PriorState, failed(err)
	}
	return res, nil
}

func (s *server) apply(ctx context.Context, q *tfprotov5.ApplyResourceChangeRequest) (*tfprotov5.DynamicValue, error) {
	r, err := s.find(q.TypeName)
	if err != nil {
		return nil, err
	}
	prior, err := r.decode(q.PriorState)
	if err != nil {
		return nil, err
	}
	planned, err := r.decode(q.PlannedState)
	if err != nil {
		return nil, err
	}
	switch {
	case planned == nil:
		if err := r.remove(ctx, s.client, prior.text("id")); err != nil && !gone(err) {
			return nil, fmt.Errorf("deleting %s: %w", prior.text("id"), err)
		}
		return r.encode(nil)
	case prior == nil:
		id, err := r.create(ctx, s.client, planned)
		if err != nil {
			return nil, err
		}
		planned.put("id", id)
	default:
		if err := r.update(ctx, s.client, planned); err != nil {
			return nil, err
		}
	}
	made := object{}
	for name, v := range planned {
		made[name] = v
	}
	if there, err := r.read(ctx, s.client, made); err != nil || !there {
		return nil, fmt.Errorf("retrieving %s after it was written: %w", made.text("id"), err)
	}
	for name, v := range planned {
		switch {
		case v.IsFullyKnown(): // what was planned is what was made
			made[name] = v
		case !made[name].IsFullyKnown(): // what Azure does not keep
			made[name] = tftypes.NewValue(v.Type(), nil)
		}
	}
	return r.encode(made)
}

func (s *server) ImportResourceState(_ context.Context, q *tfprotov5.ImportResourceStateRequest) (*tfprotov5.ImportResourceStateResponse, error) {
	r, err := s.find(q.TypeName)
	if err != nil {
		return &tfprotov5.ImportResourceStateResponse{Diagnostics: failed(err)}, nil
	}
	o := object{}
	for _, a := range r.all() {
		o[a.name] = tftypes.NewValue(a.kind, nil)
	}
	o.put("id", q.ID) // OpenTofu asks for the rest
	state, err := r.encode(o)
	if err != nil {
		return &tfprotov5.ImportResourceStateResponse{Diagnostics: failed(err)}, nil
	}
	return &tfprotov5.ImportResourceStateResponse{ImportedResources: []*tfprotov5.ImportedResource{{TypeName: q.TypeName, State: state}}}, nil
}
