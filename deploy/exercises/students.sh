#!/usr/bin/env bash
# A namespace and a kubeconfig for each student, or the end of both.
#
#   deploy/exercises/students.sh 60             student-01 … student-60; ./student-NN.kubeconfig
#   deploy/exercises/students.sh 60 --remove    their namespaces, with all in them
#
# It uses the cluster that your kubectl uses. A student may edit their own namespace and see nothing
# else. Tokens are for HOURS hours (10).
set -euo pipefail
count="${1:?how many students?}"
: "${HOURS:=10}"

quota="pods=30,count/jobs.batch=60,persistentvolumeclaims=8,requests.storage=2Gi"
quota+=",requests.cpu=1,requests.memory=1Gi,limits.memory=4Gi"

cluster() { kubectl config view --minify --flatten --raw -o jsonpath="{.clusters[0].cluster.$1}"; }

for number in $(seq 1 "$count"); do
  name="student-$(printf %02d "$number")"
  if [[ "${2:-}" == --remove ]]; then
    kubectl delete namespace "$name" --ignore-not-found --wait=false
    continue
  fi
  kubectl create namespace "$name" --dry-run=client -o yaml | kubectl apply -f -
  kubectl label namespace "$name" pod-security.kubernetes.io/enforce=restricted --overwrite
  kubectl create quota class -n "$name" --hard="$quota" --dry-run=client -o yaml | kubectl apply -f -
  kubectl create serviceaccount student -n "$name" --dry-run=client -o yaml | kubectl apply -f -
  kubectl create rolebinding student -n "$name" --clusterrole=edit --serviceaccount="$name:student" \
    --dry-run=client -o yaml | kubectl apply -f -
  token="$(kubectl create token student -n "$name" --duration="${HOURS}h")"
  cat > "$name.kubeconfig" <<EOF
apiVersion: v1
kind: Config
clusters:
  - {name: class, cluster: {server: "$(cluster server)", certificate-authority-data: "$(cluster certificate-authority-data)"}}
users:
  - {name: $name, user: {token: "$token"}}
contexts:
  - {name: class, context: {cluster: class, user: $name, namespace: $name}}
current-context: class
EOF
done
