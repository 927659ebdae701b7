package estate

import (
	"path/filepath"
	"time"
)

// Names of the renewers of every estate.
const (
	Azure = "azure" // writes AzureZone
	Bind  = "bind"  // writes BindZone
)

// Renewer is what a configuration has to say of one way to renew here, in plain values: the estate knows no product.
type Renewer struct {
	Name, Zone string
	// Directory and Staging are addresses of ACME directories; CARoots is the file of what to trust for both, Profile what
	// to ask for.
	Directory, Staging, CARoots, Profile string
	// Azure is set where the zone is written through the Azure stand-in, Update where by dynamic update.
	Azure  *AzureAccess
	Update *UpdateAccess
	// TTL is for how long resolvers may remember what is written, Port where authoritative servers listen, and Resolver
	// who to ask as the public would.
	TTL      time.Duration
	Port     int
	Resolver string
	// Shadow is a directory where certificates of a dress rehearsal may go; {certificate} in it stands for a name.
	Shadow string
}

// AzureAccess is an identity at the Azure stand-in.
type AzureAccess struct {
	Subscription, Group, Tenant, ClientID, ClientSecret string
	// URL is the address of both the resource manager and where tokens come from, and Roots the file of what to trust there.
	URL, Roots string
}

// UpdateAccess is a key for dynamic updates, of hmac-sha256.
type UpdateAccess struct{ Server, Key, Secret string }

// Renewers are the ways to renew here, the Azure one first.
func (e *Estate) Renewers() []Renewer {
	common := Renewer{
		Directory: e.CAProxy.Directory(), Staging: e.StagingProxy.Directory(), CARoots: e.CARoots, Profile: Profile,
		TTL: time.Second, Port: e.Zones.Port(), Resolver: e.Zones.ResolverAddr(),
	}
	azure, bind := common, common
	azure.Name, azure.Zone, azure.Shadow = Azure, AzureZone, filepath.Join(e.shadow(Azure), "{certificate}")
	azure.Azure = &AzureAccess{
		Subscription: e.Azure.Subscription(), Group: Group, Tenant: e.Azure.Tenant(), ClientID: ClientID, ClientSecret: ClientSecret,
		URL: e.Azure.URL(), Roots: e.AzureRoots,
	}
	bind.Name, bind.Zone, bind.Shadow = Bind, BindZone, filepath.Join(e.shadow(Bind), "{certificate}")
	bind.Update = &UpdateAccess{Server: e.Zones.Addresses("ns1." + BindZone)[0], Key: KeyName, Secret: KeySecret}
	return []Renewer{azure, bind}
}

// shadow is the directory for dress rehearsals of one renewer.
func (e *Estate) shadow(renewer string) string { return filepath.Join(e.Dir, "shadow", renewer) }
