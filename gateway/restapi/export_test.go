package restapi

// Specification is openapi.yaml.
var Specification = specification

// Kind is a problem as the specification has it.
type Kind struct {
	Status int
	Title  string
}

// Kinds gives what errors can become, by code.
func Kinds() map[string]Kind {
	all := make(map[string]Kind)
	for _, k := range append(kinds, internal, classify(malformed(""))) {
		all[k.code] = Kind{k.status, k.title}
	}
	return all
}
