{{- define "dtu.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "dtu.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "dtu.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{ include "dtu.selector" . }}
app.kubernetes.io/version: {{ default .Chart.AppVersion .Values.image.tag | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "dtu.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "dtu.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "dtu.secret" -}}
{{- default (include "dtu.fullname" .) .Values.secret.existing -}}
{{- end -}}

{{- define "dtu.hasKeys" -}}
{{- if .Values.secret.existing }}{{ if .Values.requireKeys }}yes{{ end }}{{ else if .Values.secret.keys }}yes{{ end -}}
{{- end -}}

{{/* The reference of an image: the repository of all, tag and digest of `image`. */}}
{{- define "dtu.image" -}}
{{- $repository := .root.Values.image.repository -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .root.Chart.AppVersion .image.tag) -}}
{{- end -}}
{{- end -}}

{{/* A value as TOML. Numbers of values.yaml are floating; whole ones are written as whole ones. */}}
{{- define "dtu.toml.value" -}}
{{- if kindIs "map" . -}}
{ {{- range $index, $key := keys . | sortAlpha }}{{ if $index }},{{ end }} {{ $key }} = {{ include "dtu.toml.value" (get $ $key) }}{{ end }} }
{{- else if kindIs "slice" . -}}
[{{- range $index, $item := . }}{{ if $index }}, {{ end }}{{ include "dtu.toml.value" $item }}{{ end }}]
{{- else if kindIs "bool" . -}}
{{ . }}
{{- else if kindIs "string" . -}}
{{ . | quote }}
{{- else if eq (float64 (int64 .)) (float64 .) -}}
{{ int64 . }}
{{- else -}}
{{ . }}
{{- end -}}
{{- end -}}

{{/* The keys of a table, one a line. */}}
{{- define "dtu.toml.keys" -}}
{{- range $key := keys . | sortAlpha }}
{{ $key }} = {{ include "dtu.toml.value" (get $ $key) }}
{{- end -}}
{{- end -}}

{{- define "dtu.gateway" -}}
# The gateway's id is left out: it is the pod's name.
[gateway]
drain = "{{ int .Values.drain.sessionsSeconds }}s"
{{- if .Values.listeners.native.enabled }}

[[listener]]
kind = "native"
tcp = "[::]:{{ int .Values.listeners.native.port }}"
{{- if .Values.listeners.native.udp }}
udp = "[::]:{{ int .Values.listeners.native.port }}"
{{- end }}
{{- if include "dtu.hasKeys" . }}
keys = "/etc/dtu/secret/keys"
{{- end }}
{{- with .Values.listeners.native.tls }}
{{- if .enabled }}
tls = { cert = "/etc/dtu/secret/server.pem", key = "/etc/dtu/secret/server.key"{{ if .clientCa }}, client_ca = "/etc/dtu/secret/ca.pem"{{ end }} }
{{- end }}
{{- end }}
{{- include "dtu.toml.keys" .Values.listeners.native.settings }}
{{- end }}
{{- if .Values.listeners.transparent.enabled }}

[[listener]]
kind = "transparent"
tcp = "[::]:{{ int .Values.listeners.transparent.port }}"
profile = {{ .Values.listeners.transparent.profile | quote }}
{{- include "dtu.toml.keys" .Values.listeners.transparent.settings }}
{{- end }}

[http]
listen = "[::]:{{ int .Values.http.port }}"
token_file = "/etc/dtu/secret/token"
{{- include "dtu.toml.keys" (omit (default dict .Values.config.http) "listen" "token_file") }}
{{- range $name := keys .Values.config | sortAlpha }}
{{- $table := get $.Values.config $name }}
{{- if eq $name "http" }}
{{- else if kindIs "slice" $table }}
{{- range $table }}

[[{{ $name }}]]
{{- include "dtu.toml.keys" . }}
{{- end }}
{{- else if $table }}

[{{ $name }}]
{{- include "dtu.toml.keys" $table }}
{{- end }}
{{- end }}
{{- end -}}
