"""PetPro's gateway, compiled: contracts and one policy file in, an Envoy configuration and an OpenAPI document out."""
