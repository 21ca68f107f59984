{{/*
What values.schema.json could only refuse with a regular expression for an explanation, or not at
all, is refused here with a sentence. All mistakes are told at once.
*/}}
{{- define "workshop-demo.check" -}}
{{- $wrong := list -}}
{{- $name := "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$" -}}
{{- range $key, $namespaces := dict "namespaces" .Values.namespaces "limits.exemptNamespaces" .Values.limits.exemptNamespaces -}}
{{- range $index, $namespace := $namespaces -}}
{{- if not (regexMatch $name $namespace) -}}
{{- $wrong = append $wrong (printf "%s[%d]: %q is no name of a namespace: lower-case letters, digits and hyphens, such as workshop-2. Patterns are not understood: name each." $key $index $namespace) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if not (regexMatch "^([1-9][0-9]*(k|M|G|T|Ki|Mi|Gi|Ti))?$" .Values.limits.storage) -}}
{{- $wrong = append $wrong (printf "limits.storage: %q is no quantity with a unit, such as 1Gi." .Values.limits.storage) -}}
{{- end -}}
{{- range $index, $image := .Values.limits.images -}}
{{- if not (regexMatch "^[a-z0-9]([a-zA-Z0-9._:/@-]*)[/:@]$" $image) -}}
{{- $wrong = append $wrong (printf "limits.images[%d]: %q is no beginning of an image's name that ends in /, : or @, such as busybox: (else it would be the beginning of other names too)." $index $image) -}}
{{- end -}}
{{- end -}}
{{- with .Values.fullnameOverride -}}
{{- if not (regexMatch $name .) -}}
{{- $wrong = append $wrong (printf "fullnameOverride: %q is no name of an object: lower-case letters, digits and hyphens, such as teacher." .) -}}
{{- end -}}
{{- end -}}
{{- range include "workshop-demo.wrongImages" . | fromYamlArray -}}
{{- $wrong = append $wrong . -}}
{{- end -}}
{{- range $key, $resources := dict "resources" .Values.resources "inbox.resources" .Values.inbox.resources -}}
{{- range include "workshop-demo.wrongResources" (dict "key" $key "resources" $resources) | fromYamlArray -}}
{{- $wrong = append $wrong . -}}
{{- end -}}
{{- end -}}
{{- range $index, $host := .Values.notifications.allowedHosts -}}
{{- if not (regexMatch "^(\\*\\.)?[][a-zA-Z0-9.:-]+(/[0-9]{1,3})?(:[0-9]{1,5})?$" $host) -}}
{{- $wrong = append $wrong (printf "notifications.allowedHosts[%d]: %q is none of host:port, *.domain:port and network/prefix:port, such as alertmanager.monitoring.svc:9093. It has no scheme and no path." $index $host) -}}
{{- end -}}
{{- end -}}
{{- if and (eq "true" (toString .Values.metrics.serviceMonitor.enabled)) (not .Values.metrics.service.enabled) -}}
{{- $wrong = append $wrong "metrics.serviceMonitor.enabled: a ServiceMonitor finds the operator by its Service: leave metrics.service.enabled true, or say false here." -}}
{{- end -}}
{{- if $wrong -}}
{{- fail (printf "\n\n%s\n" (join "\n" $wrong)) -}}
{{- end -}}
{{- end -}}

{{/* Sentences about names of images, as a YAML list. */}}
{{- define "workshop-demo.wrongImages" -}}
{{- $wrong := list -}}
{{- $path := "([a-zA-Z0-9.-]+(:[0-9]+)?/)?[a-z0-9]+([._/-]+[a-z0-9]+)*" -}}
{{- $tag := "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}" -}}
{{- $image := printf "^%s(:%s|@sha256:[0-9a-f]{64})$" $path $tag -}}
{{- if regexMatch $image .Values.image.repository -}}
{{- $wrong = append $wrong (printf "image.repository: %q has a tag or digest. The tag belongs into image.tag; digests are not supported here." .Values.image.repository) -}}
{{- else if not (regexMatch (printf "^%s$" $path) .Values.image.repository) -}}
{{- $wrong = append $wrong (printf "image.repository: %q is no name of an image, such as registry.local:5000/workshop-demo/operator." .Values.image.repository) -}}
{{- end -}}
{{- if not (regexMatch (printf "^(%s)?$" $tag) .Values.image.tag) -}}
{{- $wrong = append $wrong (printf "image.tag: %q is no tag: letters, digits, dots, hyphens and underscores, such as 0.1.0." .Values.image.tag) -}}
{{- end -}}
{{- range $key, $value := dict "logShipping.collectorImage" .Values.logShipping.collectorImage "logShipping.aggregatorImage" .Values.logShipping.aggregatorImage "statefulSet.postgresImage" .Values.statefulSet.postgresImage -}}
{{- if not (regexMatch $image $value) -}}
{{- $wrong = append $wrong (printf "%s: %q is no image with a tag or digest, such as registry.local:5000/postgres:17." $key $value) -}}
{{- end -}}
{{- end -}}
{{- if not (regexMatch "^([a-zA-Z0-9.-]+(:[0-9]+)?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*/?)?$" .Values.imageRegistry) -}}
{{- $wrong = append $wrong (printf "imageRegistry: %q is no registry with or without a path, such as registry.local:5000/workshop. It has no https:// and no tag." .Values.imageRegistry) -}}
{{- end -}}
{{- toYaml $wrong -}}
{{- end -}}

{{/* Sentences about resources, as a YAML list. */}}
{{- define "workshop-demo.wrongResources" -}}
{{- $wrong := list -}}
{{- range $part, $quantities := .resources -}}
{{- range $resource, $quantity := $quantities -}}
{{- $where := printf "%s.%s.%s" $.key $part $resource -}}
{{- $said := toString $quantity -}}
{{- if not (regexMatch "^[0-9]+(\\.[0-9]+)?([numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?$" $said) -}}
{{- $wrong = append $wrong (printf "%s: %q is no quantity, such as %s." $where $said (ternary "100m" "256Mi" (eq "cpu" $resource))) -}}
{{- else if and (ne "cpu" $resource) (regexMatch "^[0-9.]{1,6}m?$" $said) -}}
{{- $wrong = append $wrong (printf "%s: %s has no unit and would be bytes: write %sMi." $where $said (trimSuffix "m" $said)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- toYaml $wrong -}}
{{- end -}}
