{{/* Name of all objects; room is left for what is appended. */}}
{{- define "workshop-demo.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* What a Deployment selects its Pods by: immutable, so nothing that a new version changes. */}}
{{- define "workshop-demo.selectorLabels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "workshop-demo.labels" -}}
{{ include "workshop-demo.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{/* Why a check of kube-linter does not hold for our Deployments, where it looks for the reason. */}}
{{- define "workshop-demo.lintReasons" -}}
ignore-check.kube-linter.io/unset-cpu-requirements: >-
  A CPU limit would slow it just when a whole class applies its demos at once; its request leaves the
  others their share.
{{- end -}}

{{- define "workshop-demo.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "workshop-demo.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- define "workshop-demo.image" -}}
{{- $image := printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- include "workshop-demo.mirrored" (dict "image" $image "registry" .Values.imageRegistry) -}}
{{- end -}}

{{/*
The name by which an image is pulled. In a mirror, the host that it names gives way; what a name's
first part has to have to be a host is the rule of all container tools.
*/}}
{{- define "workshop-demo.mirrored" -}}
{{- $path := .image -}}
{{- $first := splitList "/" .image | first -}}
{{- if and .registry (contains "/" .image) (or (contains "." $first) (contains ":" $first) (eq "localhost" $first)) -}}
{{- $path = trimPrefix (printf "%s/" $first) .image -}}
{{- end -}}
{{- with .registry }}{{ trimSuffix "/" . }}/{{ end }}{{ $path -}}
{{- end -}}

{{- define "workshop-demo.subjects" -}}
- kind: ServiceAccount
  name: {{ include "workshop-demo.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end -}}

{{/*
The rights on demos and what belongs to them, in one namespace or in all. Every verb is used; a
missing one is named in the operator's log and on /readyz.
*/}}
{{- define "workshop-demo.rules" -}}
# The demos: what is asked, and when it changes. Never written: a demo belongs to who applied it.
- apiGroups: [workshopdemo.dev]
  resources: [workshopdemos]
  verbs: [list, watch]
# What the lesson showed, written by server-side apply, which is a patch.
- apiGroups: [workshopdemo.dev]
  resources: [workshopdemos/status]
  verbs: [patch]
# The Jobs of the demos. Server-side apply is a patch, and a create where there is nothing yet;
# watched, to see them end and to put right what somebody changed; deleted when their entry goes.
# What was told to whom is noted on them, and read again when somebody else wrote meanwhile.
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, patch, delete]
# The CronJobs of the demos, likewise. Their names are plain, so one is read before it is first
# written: an object of that name which is somebody else's is left alone.
- apiGroups: [batch]
  resources: [cronjobs]
  verbs: [get, list, watch, create, patch, delete]
# What ships a demo's logs from each node, and what keeps them; and a demo's own StatefulSet, its
# database or its diary; likewise.
- apiGroups: [apps]
  resources: [daemonsets, statefulsets]
  verbs: [get, list, watch, create, patch, delete]
# The configuration of all these, and the database's scripts; the addresses they are found by, of
# StatefulSets also each member's; and volumes: the logs' and the one with the bookshop's files. Their
# names are plain too. The claims of a StatefulSet's members are made by Kubernetes: they are read, to
# prove that a member came back to its own, and deleted only where the demo retains nothing and a member
# left one over.
- apiGroups: [""]
  resources: [configmaps, services, persistentvolumeclaims]
  verbs: [get, list, watch, create, patch, delete]
# Who a demo's node agents are, and what they may do: list and watch the Pods of their namespace, no
# more. The API server lets the operator grant only what it may do itself, in the same namespace; so it
# has neither `bind` nor `escalate`.
- apiGroups: [""]
  resources: [serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [rbac.authorization.k8s.io]
  resources: [roles, rolebindings]
  verbs: [get, list, watch, create, patch, delete]
# Where the cluster itself finds the Pods of a demo's Services, to be compared with what the node agents
# know. Only read.
- apiGroups: [discovery.k8s.io]
  resources: [endpointslices]
  verbs: [list]
# Each attempt of a Job is a Pod: its node, its exit code, why it cannot start. So is what runs on each
# node.
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch]
# The last lines of each attempt, which outlive its Pod on the demo's status; and how many lines were
# written on each node, by which the shipping of logs is proved.
- apiGroups: [""]
  resources: [pods/log]
  verbs: [get]
# What happened to a demo, for `kubectl describe`. Listed to learn why a
# Job could not make its Pods (a quota, Pod Security): only an Event says so.
- apiGroups: [""]
  resources: [events]
  verbs: [list, create]
# The address and the credentials of a demo's notification target, in the demo's own namespace only,
# by the name that the demo gives, at the time of sending. And the password of a demo's database: it is
# made once, as a Secret in the demo's namespace, and goes with its demo by its owner reference. So
# Secrets are never listed, watched, changed or deleted.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get, create]
{{- end -}}
