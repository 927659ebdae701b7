package permit

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/streaming"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/to"
	"github.com/Azure/azure-sdk-for-go/sdk/resourcemanager/authorization/armauthorization/v2"

	"github.com/notafter/notafter/internal/assure"
)

// Versions of interfaces that the SDK has no client for.
const (
	azureCheckVersion = "2018-09-01-preview" // as kubeguard/guard asks it for AKS
	azureLocksVersion = "2016-09-01"
	azureDNSVersion   = "2018-05-01"
)

// ask asks about every action at a record set.
func (s *azureSession) ask(ctx context.Context, scope string) []assure.Access {
	locks, noLocks := s.locks(ctx)
	verdicts, unchecked := s.checkAccess(ctx, scope)
	var rights *AzureRights // read when needed, once
	var noRights *assure.Trouble
	read := func() {
		if rights == nil && noRights == nil {
			rights, noRights = s.rights(ctx, scope)
		}
	}
	var list []assure.Access
	for i, action := range azureActions {
		var v AzureVerdict
		var t *assure.Trouble // why it is unclear
		switch {
		case unchecked == nil && !verdicts[i].plainNo:
			v = verdicts[i].AzureVerdict
			if v.Answer == assure.Allowed { // it names one grant or none, and there may be more
				if read(); rights != nil {
					v.Grants, v.whole = azureAll(v.Grants, EvaluateAzure(*rights, action, scope).Grants), true
				}
			}
		case unchecked != nil && !unchecked.fallBack:
			t = unchecked.trouble
		default:
			read()
			switch {
			case rights == nil && unchecked == nil:
				v = verdicts[i].AzureVerdict
			case rights == nil:
				t = noRights
				if action == azureActions[0] && s.opts.Object == "" && noRights.Class == assure.TroubleDenied {
					if tried, ok := s.tryReading(ctx, scope); ok {
						v, t = tried, nil
					}
				}
			default:
				v = EvaluateAzure(*rights, action, scope)
				v.whole = true
				if unchecked == nil && v.Answer == assure.Allowed && !s.throughGroup(rights, v.Grants) {
					t = &assure.Trouble{
						Reason: assure.PermissionUnclear, Class: assure.TroubleLagging, Identity: s.object, Action: action, Scope: scope,
						Detail: "checkAccess says no, the role assignments say yes: " + v.Detail,
						Remedy: "Wait some minutes when a grant was changed just now, else compare the zone's access control with the identity",
					}
				}
			}
		}
		list = append(list, s.access(action, scope, v, t, locks, noLocks))
	}
	return list
}

// azureAll joins the grant that checkAccess named with those that were listed.
func azureAll(named, listed []string) []string {
	for _, g := range listed {
		if !slices.ContainsFunc(named, func(x string) bool { return azureSame(x, g) }) {
			named = append(named, g)
		}
	}
	return named
}

// tryReading asks whether the record set may be read by reading it. Who lost every role may not even ask about roles, and
// this is the question that is left; a writer that may not read cannot write, for it merges. ok is false when the answer
// does not tell.
func (s *azureSession) tryReading(ctx context.Context, scope string) (v AzureVerdict, ok bool) {
	_, err := s.raw(ctx, http.MethodGet, scope+"?api-version="+azureDNSVersion, nil)
	r := azureResponse(err)
	switch {
	case err == nil || r != nil && r.StatusCode == http.StatusNotFound && r.ErrorCode == "NotFound":
		return AzureVerdict{Answer: assure.Allowed, Detail: "Azure lets it be read; the role assignments could not be read"}, true
	case r != nil && r.StatusCode == http.StatusForbidden && r.ErrorCode == "AuthorizationFailed":
		return AzureVerdict{Answer: assure.Forbidden, Detail: "Azure does not let it be read: " + azureSaid(r.RawResponse)}, true
	}
	return v, false
}

// throughGroup reports whether every one of the grants is a group's.
func (s *azureSession) throughGroup(r *AzureRights, grants []string) bool {
	for _, g := range r.Grants {
		if slices.Contains(grants, g.ID) && strings.EqualFold(g.Principal, s.object) {
			return false
		}
	}
	return true
}

// access puts a verdict about grants, or why there is none, together with the locks.
func (s *azureSession) access(action, scope string, v AzureVerdict, t *assure.Trouble, locks []AzureLock, noLocks *assure.Trouble) assure.Access {
	a := assure.Access{Answer: assure.Untold, Identity: s.object, Action: action, Scope: scope, Grants: v.Grants, Whole: v.whole && len(v.Grants) > 0, Blockers: v.Blockers}
	locked := EvaluateAzure(AzureRights{Locks: locks}, action, scope)
	if len(locked.Blockers) > 0 {
		v.Answer, v.Locked = assure.Forbidden, true
		v.Detail = "blocked by " + strings.Join(locked.Blockers, ", ")
		a.Blockers = append(slices.Clone(a.Blockers), locked.Blockers...)
		t = nil // a lock holds whatever the grants
	}
	unknownLock := slices.ContainsFunc(locks, func(l AzureLock) bool {
		_, known := l.blocks(action)
		return !known && azureCovers(l.Scope, scope)
	})
	switch {
	case t != nil:
		own := *t
		a.Detail, a.Trouble = "could not ask: "+t.Detail, &own
		return a
	case v.Answer == assure.Allowed && noLocks != nil && !strings.HasSuffix(action, "/read"):
		own := *noLocks
		a.Detail, a.Trouble = v.Detail+", but locks could not be read: "+own.Detail, &own
		return a
	case v.Answer == assure.Allowed && unknownLock:
		a.Detail = v.Detail + ", but there is a lock of a level that is not known here"
	default:
		a.Answer, a.Detail = v.Answer, v.Detail
	}
	switch {
	case a.Answer == assure.Allowed:
		return a
	case a.Answer == assure.Untold:
		a.Trouble = &assure.Trouble{Reason: assure.PermissionUnclear, Class: assure.TroubleForbidden, Remedy: "Grant the identity a role without a condition at the zone, such as DNS Zone Contributor"}
	case v.Locked:
		a.Trouble = &assure.Trouble{Reason: assure.DNSWriteDenied, Class: assure.TroubleForbidden, Remedy: "Remove the lock " + strings.Join(a.Blockers, ", ") + ", or move it where it does not cover the record set"}
	case len(a.Blockers) > 0:
		a.Trouble = &assure.Trouble{Reason: assure.DNSWriteDenied, Class: assure.TroubleForbidden, Remedy: "Exclude the identity from the deny assignment " + strings.Join(a.Blockers, ", ")}
	default:
		a.Trouble = &assure.Trouble{Reason: assure.DNSWriteDenied, Class: assure.TroubleDenied, Remedy: "Assign the role DNS Zone Contributor, or one with Microsoft.Network/dnsZones/TXT/read, /write and /delete, to " + s.object + " at the zone"}
	}
	a.Trouble.Identity, a.Trouble.Action, a.Trouble.Scope, a.Trouble.Detail = s.object, action, scope, a.Detail
	return a
}

// azureChecked is checkAccess's answer about one action.
type azureChecked struct {
	AzureVerdict
	plainNo bool // no, without a deny assignment: it may not know the identity's groups
}

// azureNoCheck is why checkAccess gave no answers.
type azureNoCheck struct {
	trouble  *assure.Trouble
	fallBack bool // reading the assignments may still work
}

// checkAccess asks Azure's own evaluation about every action, in the order of azureActions.
func (s *azureSession) checkAccess(ctx context.Context, scope string) ([]azureChecked, *azureNoCheck) {
	type entity struct {
		ID           string `json:"Id"`
		IsDataAction *bool  `json:"IsDataAction,omitempty"`
	}
	var body struct {
		Subject struct {
			Attributes struct {
				ObjectID string `json:"ObjectId"`
				Expand   bool   `json:"xms-pasrp-retrievegroupmemberships"` // count the identity's groups
			} `json:"Attributes"`
		} `json:"Subject"`
		Actions  []entity `json:"Actions"`
		Resource entity   `json:"Resource"`
	}
	body.Subject.Attributes.ObjectID, body.Subject.Attributes.Expand = s.object, true
	body.Resource.ID = scope
	for _, a := range azureActions {
		body.Actions = append(body.Actions, entity{a, to.Ptr(false)})
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil, &azureNoCheck{azureTrouble(err, scope), true}
	}
	answer, err := s.raw(ctx, http.MethodPost, scope+"/providers/Microsoft.Authorization/checkAccess?api-version="+azureCheckVersion, text)
	if err != nil {
		r := azureResponse(err)
		return nil, &azureNoCheck{azureTrouble(err, scope), r != nil && r.StatusCode != http.StatusUnauthorized && r.StatusCode != http.StatusTooManyRequests}
	}
	list, err := parseAzureCheck(answer)
	if err != nil {
		return nil, &azureNoCheck{azureTrouble(err, scope), true}
	}
	return list, nil
}

// azureNamed is what a decision rests on. Its id is a resource id, or a GUID alone, with hyphens or without.
type azureNamed struct {
	ID    string `json:"id"`
	Scope string `json:"scope"`
}

// resource is the resource id; empty when nothing is named.
func (n azureNamed) resource(kind string) string {
	id := azureText(n.ID)
	if id == "" || strings.Contains(id, "/") || n.Scope == "" {
		return id
	}
	if len(id) == 32 && !strings.Contains(id, "-") {
		id = id[:8] + "-" + id[8:12] + "-" + id[12:16] + "-" + id[16:20] + "-" + id[20:]
	}
	return azureText(strings.TrimRight(n.Scope, "/") + "/providers/Microsoft.Authorization/" + kind + "/" + id)
}

// parseAzureCheck reads the decisions, which must be about every action.
func parseAzureCheck(answer []byte) ([]azureChecked, error) {
	var decisions []struct {
		ActionID       string     `json:"actionId"`
		AccessDecision string     `json:"accessDecision"`
		RoleAssignment azureNamed `json:"roleAssignment"`
		DenyAssignment azureNamed `json:"denyAssignment"`
	}
	if err := json.Unmarshal(answer, &decisions); err != nil {
		return nil, fmt.Errorf("%w: decisions of checkAccess: %w", errAzureNonsense, err)
	}
	list := make([]azureChecked, len(azureActions))
	for _, d := range decisions {
		i := slices.IndexFunc(azureActions[:], func(a string) bool { return strings.EqualFold(a, d.ActionID) })
		if i < 0 || list[i].Answer != "" {
			continue
		}
		c := &list[i]
		grant, deny := d.RoleAssignment.resource("roleAssignments"), d.DenyAssignment.resource("denyAssignments")
		switch decision := strings.ToLower(d.AccessDecision); {
		case deny != "" && decision != "allowed":
			c.Answer, c.Blockers, c.Detail = assure.Forbidden, []string{deny}, "checkAccess: denied by "+deny
		case decision == "allowed" && grant != "":
			c.Answer, c.Grants, c.Detail = assure.Allowed, []string{grant}, "checkAccess: allowed by "+grant
		case decision == "allowed":
			c.Answer, c.Detail = assure.Allowed, "checkAccess: allowed, without saying by which role assignment"
		case decision == "notallowed" || decision == "denied":
			c.Answer, c.Detail, c.plainNo = assure.Forbidden, "checkAccess: no role assignment allows it", true
		}
	}
	if slices.ContainsFunc(list, func(c azureChecked) bool { return c.Answer == "" }) {
		return nil, fmt.Errorf("%w: checkAccess did not decide about every action", errAzureNonsense)
	}
	return list, nil
}

// raw sends a request that the SDK has no method for, and returns the body of a good answer.
func (s *azureSession) raw(ctx context.Context, method, target string, body []byte) ([]byte, error) {
	if !strings.HasPrefix(target, "https://") && !strings.HasPrefix(target, "http://") {
		target = strings.TrimRight(s.arm.Endpoint(), "/") + target
	}
	r, err := runtime.NewRequest(ctx, method, target)
	if err != nil {
		return nil, err
	}
	r.Raw().Header.Set("Accept", "application/json")
	if body != nil {
		if err := r.SetBody(streaming.NopCloser(bytes.NewReader(body)), "application/json"); err != nil {
			return nil, err
		}
	}
	resp, err := s.arm.Pipeline().Do(r)
	if err != nil {
		return nil, err
	}
	if !runtime.HasStatusCode(resp, http.StatusOK) {
		return nil, runtime.NewResponseError(resp)
	}
	return runtime.Payload(resp)
}

// azurePages bounds lists of many pages.
const azurePages = 50

// locks reads the locks at, above and below the zone.
func (s *azureSession) locks(ctx context.Context) ([]AzureLock, *assure.Trouble) {
	var list []AzureLock
	next := s.scope() + "/providers/Microsoft.Authorization/locks?api-version=" + azureLocksVersion
	for range azurePages {
		answer, err := s.raw(ctx, http.MethodGet, next, nil)
		if err != nil {
			return nil, azureTrouble(err, s.scope())
		}
		locks, link, err := parseAzureLocks(answer)
		if err != nil {
			return nil, azureTrouble(err, s.scope())
		}
		list = append(list, locks...)
		if link == "" {
			return list, nil
		}
		next = link
	}
	return nil, azureTrouble(fmt.Errorf("%w: the list of locks does not end", errAzureNonsense), s.scope())
}

// azureLocksMark is between a lock's scope and its name in its id.
const azureLocksMark = "/providers/microsoft.authorization/locks/"

func parseAzureLocks(answer []byte) (list []AzureLock, next string, err error) {
	var page struct {
		Value []struct {
			ID         string `json:"id"`
			Name       string `json:"name"`
			Properties struct {
				Level string `json:"level"`
			} `json:"properties"`
		} `json:"value"`
		NextLink string `json:"nextLink"`
	}
	if err := json.Unmarshal(answer, &page); err != nil {
		return nil, "", fmt.Errorf("%w: locks: %w", errAzureNonsense, err)
	}
	for _, l := range page.Value {
		id := azureText(l.ID)
		at := strings.LastIndex(strings.ToLower(id), azureLocksMark)
		if at < 0 {
			return nil, "", fmt.Errorf("%w: a lock without a scope", errAzureNonsense)
		}
		scope := id[:at]
		if scope == "" {
			scope = "/"
		}
		list = append(list, AzureLock{ID: id, Name: azureText(l.Name), Scope: scope, Level: azureText(l.Properties.Level)})
	}
	return list, page.NextLink, nil
}

// rights reads the grants of the identity, their roles and the deny assignments at and above a record set. Locks are read
// apart.
func (s *azureSession) rights(ctx context.Context, scope string) (*AzureRights, *assure.Trouble) {
	f, err := armauthorization.NewClientFactory(s.opts.Subscription, s.cred, s.clientOptions())
	if err != nil {
		return nil, azureTrouble(err, s.scope())
	}
	r := &AzureRights{}
	// assignedTo lists what the identity has itself and through groups, at, above and below the scope.
	grants := f.NewRoleAssignmentsClient().NewListForScopePager(s.scope(), &armauthorization.RoleAssignmentsClientListForScopeOptions{Filter: to.Ptr("assignedTo('" + s.object + "')")})
	for page := 0; grants.More(); page++ {
		got, err := grants.NextPage(ctx)
		if err != nil {
			return nil, azureTrouble(err, s.scope())
		}
		if page >= azurePages {
			return nil, azureTrouble(fmt.Errorf("%w: the list of role assignments does not end", errAzureNonsense), s.scope())
		}
		for _, a := range got.Value {
			r.Grants = append(r.Grants, azureGrant(a))
		}
	}
	groups := map[string]bool{strings.ToLower(s.object): true} // ids that the identity certainly counts as
	roles := f.NewRoleDefinitionsClient()
	for _, g := range r.Grants {
		groups[strings.ToLower(g.Principal)] = true
		if g.Role == "" || slices.ContainsFunc(r.Roles, func(x AzureRole) bool { return azureRoleID(x.ID) == azureRoleID(g.Role) }) {
			continue
		}
		// By its name at the zone: the id in a grant is of the subscription, where the identity need not have any right.
		got, err := roles.Get(ctx, s.scope(), azureRoleID(g.Role), nil)
		if t := azureTrouble(err, s.scope()); t != nil && t.Class != assure.TroubleMissing {
			return nil, t
		} else if t == nil {
			r.Roles = append(r.Roles, azureRole(&got.RoleDefinition, g.Role))
		}
	}
	denies := f.NewDenyAssignmentsClient().NewListForScopePager(scope, &armauthorization.DenyAssignmentsClientListForScopeOptions{Filter: to.Ptr("atScope()")})
	for page := 0; denies.More(); page++ {
		got, err := denies.NextPage(ctx)
		if err != nil {
			return nil, azureTrouble(err, s.scope())
		}
		if page >= azurePages {
			return nil, azureTrouble(fmt.Errorf("%w: the list of deny assignments does not end", errAzureNonsense), s.scope())
		}
		for _, d := range got.Value {
			if x, ok := azureDeny(d, groups); ok {
				r.Denies = append(r.Denies, x)
			}
		}
	}
	return r, nil
}
