#!/bin/sh
# Makes localhost.pem: the key and the certificate with which the tests' hub says that it is localhost. Nothing else
# trusts it, and it opens nothing.
cd "$(dirname "$0")" || exit
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 36500 -subj /CN=localhost \
    -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,digitalSignature,keyCertSign \
    -addext subjectAltName=DNS:localhost -keyout localhost.key -out localhost.crt
cat localhost.key localhost.crt > localhost.pem
rm localhost.key localhost.crt
