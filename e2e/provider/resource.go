package provider

import (
	"context"

	"github.com/hashicorp/terraform-plugin-go/tfprotov5"
	"github.com/hashicorp/terraform-plugin-go/tftypes"
)

// attribute is one attribute of a resource type.
type attribute struct {
	name                         string
	kind                         tftypes.Type
	required, optional, computed bool
	// forces: another value makes another object.
	forces bool
	// with names an attribute whose change makes this one known only after the apply, where the code does not set it.
	with string
}

// object is one resource: its attributes by name.
type object map[string]tftypes.Value

// text is a string attribute; empty when it is null, unknown or absent.
func (o object) text(name string) string {
	var s string
	if v, ok := o[name]; ok && v.IsKnown() && !v.IsNull() && v.Type().Is(tftypes.String) {
		_ = v.As(&s) // a string
	}
	return s
}

// texts is an attribute that is a map of strings.
func (o object) texts(name string) map[string]string {
	v, ok := o[name]
	var m map[string]tftypes.Value
	if !ok || !v.IsFullyKnown() || v.IsNull() || v.As(&m) != nil {
		return nil
	}
	out := map[string]string{}
	for k, v := range m {
		var s string
		_ = v.As(&s) // a string
		out[k] = s
	}
	return out
}

// put sets a string attribute; an empty one is null.
func (o object) put(name, value string) {
	if value == "" {
		o[name] = tftypes.NewValue(tftypes.String, nil)
		return
	}
	o[name] = tftypes.NewValue(tftypes.String, value)
}

// putTags sets the tags; none are null.
func (o object) putTags(tags map[string]string) {
	if len(tags) == 0 {
		o["tags"] = tftypes.NewValue(tagged, nil)
		return
	}
	m := map[string]tftypes.Value{}
	for k, v := range tags {
		m[k] = tftypes.NewValue(tftypes.String, v)
	}
	o["tags"] = tftypes.NewValue(tagged, m)
}

var tagged = tftypes.Map{ElementType: tftypes.String}

// resource is a type of resources.
type resource struct {
	attributes []attribute
	// create makes the object and returns its id. With an error there is no object.
	create func(context.Context, *client, object) (string, error)
	// read sets what Azure knows of the object with o's id, and reports whether there is one.
	read   func(ctx context.Context, c *client, o object) (bool, error)
	update func(context.Context, *client, object) error
	remove func(ctx context.Context, c *client, id string) error
	// invalid says what is wrong with a configuration; empty when nothing is.
	invalid func(object) string
}

var limits = tftypes.Object{AttributeTypes: map[string]tftypes.Type{
	"create": tftypes.String, "read": tftypes.String, "update": tftypes.String, "delete": tftypes.String,
}}

// all are the attributes with those that every type has.
func (r *resource) all() []attribute {
	return append([]attribute{{name: "id", kind: tftypes.String, computed: true}, {name: "timeouts", kind: limits, optional: true}}, r.attributes...)
}

func (r *resource) schema() *tfprotov5.Schema {
	b := &tfprotov5.SchemaBlock{}
	for _, a := range r.all() {
		if a.name == "timeouts" { // a block, as in azurerm
			inner := &tfprotov5.SchemaBlock{}
			for name, kind := range limits.AttributeTypes {
				inner.Attributes = append(inner.Attributes, &tfprotov5.SchemaAttribute{Name: name, Type: kind, Optional: true})
			}
			b.BlockTypes = append(b.BlockTypes, &tfprotov5.SchemaNestedBlock{TypeName: a.name, Nesting: tfprotov5.SchemaNestedBlockNestingModeSingle, Block: inner})
			continue
		}
		b.Attributes = append(b.Attributes, &tfprotov5.SchemaAttribute{Name: a.name, Type: a.kind, Required: a.required, Optional: a.optional, Computed: a.computed})
	}
	return &tfprotov5.Schema{Block: b}
}

func (r *resource) kind() tftypes.Object {
	o := tftypes.Object{AttributeTypes: map[string]tftypes.Type{}}
	for _, a := range r.all() {
		o.AttributeTypes[a.name] = a.kind
	}
	return o
}

// plan is what becomes of an object: what is configured, what stays, and what only the apply will tell. The names
// returned are those of attributes that need another object; prior is nil when there is none yet.
func (r *resource) plan(config, prior, proposed object) (object, []string) {
	planned, forced := object{}, []string{}
	changed := func(name string) bool { return prior == nil || !proposed[name].Equal(prior[name]) }
	for _, a := range r.all() {
		v := proposed[a.name]
		if a.computed && config[a.name].IsNull() && (prior == nil || a.with != "" && changed(a.with)) {
			v = tftypes.NewValue(a.kind, tftypes.UnknownValue)
		}
		planned[a.name] = v
		if a.forces && prior != nil && !v.Equal(prior[a.name]) {
			forced = append(forced, a.name)
		}
	}
	return planned, forced
}
