#!/usr/bin/env bash
# Makes the certificates of test_sender.py anew. They are good until 2120, so nobody should need to;
# they stand in the repository because a fresh machine may have no openssl. The keys protect nothing.
set -euo pipefail
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
touch "$work/index" && echo 01 >"$work/serial" && mkdir "$work/certs"
cat >"$work/conf" <<CONF
[req]
distinguished_name = none
[none]
[ca]
default_ca = test
[test]
dir = $work
database = $work/index
serial = $work/serial
new_certs_dir = $work/certs
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
[authority]
basicConstraints = critical, CA:true
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
[server]
basicConstraints = critical, CA:false
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = DNS:receiver.test, IP:127.0.0.1, IP:::1
CONF
key() { openssl ecparam -name prime256v1 -genkey -noout | openssl pkcs8 -topk8 -nocrypt -out "$1"; }
sign() { # name, subject's key, extensions, first day, last day, how it is signed
  openssl req -new -config "$work/conf" -key "$2" -subj "/CN=$1 of the tests" -out "$work/$1.csr"
  openssl ca -batch -notext -config "$work/conf" -extensions "$3" -startdate "$4" -enddate "$5" \
    -in "$work/$1.csr" -out "$1.pem" "${@:6}" 2>/dev/null
}
key "$work/ca-key.pem"
key server-key.pem
sign ca "$work/ca-key.pem" authority 20200101000000Z 21200101000000Z -selfsign -keyfile "$work/ca-key.pem"
by=(-cert ca.pem -keyfile "$work/ca-key.pem")
sign server server-key.pem server 20200101000000Z 21200101000000Z "${by[@]}"
sign expired server-key.pem server 20200101000000Z 20210101000000Z "${by[@]}"
