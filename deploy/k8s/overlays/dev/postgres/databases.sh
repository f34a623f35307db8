#!/bin/bash
# Run once, when the data folder is made: a role and a database for each service, which no other service can connect to,
# and the extensions that only a superuser may add.
set -euo pipefail

superuser=${POSTGRES_USER:-postgres}
passwords=${PASSWORDS_DIR:-/etc/petpro/passwords}

run() {
    psql --no-psqlrc --quiet --set ON_ERROR_STOP=1 --username "$superuser" "$@"
}

database() {
    local role=petpro_$1 password extension
    password=$(<"$passwords/$1")
    run --dbname postgres --set role="$role" --set password="$password" <<'SQL'
CREATE ROLE :"role" LOGIN PASSWORD :'password';
CREATE DATABASE :"role" OWNER :"role";
REVOKE ALL ON DATABASE :"role" FROM PUBLIC;
SQL
    run --dbname postgres --command "GRANT CONNECT ON DATABASE $role TO petpro_auditor"
    for extension in "${@:2}"; do
        run --dbname "$role" --set extension="$extension" <<'SQL'
CREATE EXTENSION :"extension";
SQL
    done
}

# Reads everything and changes nothing.
auditor() {
    run --dbname postgres --set password="$(<"$passwords/auditor")" <<'SQL'
CREATE ROLE petpro_auditor LOGIN PASSWORD :'password' IN ROLE pg_read_all_data;
SQL
}

run --dbname postgres --command "REVOKE CONNECT ON DATABASE postgres, template1 FROM PUBLIC"
auditor
database account
database booking btree_gist
database catalog cube earthdistance pg_trgm
database notification
database payment
