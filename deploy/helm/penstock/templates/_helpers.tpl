{{- define "penstock.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 35 | trimSuffix "-" }}
{{- end }}

{{/* At most 35 characters, so that every name made from it fits into 63. */}}
{{- define "penstock.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 35 | trimSuffix "-" }}
{{- else if contains (include "penstock.name" .) .Release.Name }}
{{- .Release.Name | trunc 35 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "penstock.name" .) | trunc 35 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "penstock.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "penstock.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/* What selects every pod of the release. */}}
{{- define "penstock.releaseLabels" -}}
app.kubernetes.io/name: {{ include "penstock.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "penstock.labels" -}}
{{ include "penstock.releaseLabels" . }}
app.kubernetes.io/version: {{ .Values.image.tag | default .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* What selects the pods of one role: list of the root, the role and the group of workers (empty for other roles). */}}
{{- define "penstock.selector" -}}
{{- $root := index . 0 -}}
{{ include "penstock.releaseLabels" $root }}
app.kubernetes.io/component: {{ index . 1 }}
{{- with index . 2 }}
worker-group: {{ . }}
{{- end }}
{{- end }}

{{/* An entry of `env` from a Secret: list of the name and the reference. */}}
{{- define "penstock.secretEnv" -}}
- name: {{ index . 0 }}
  valueFrom:
    secretKeyRef:
      name: {{ (index . 1).name }}
      key: {{ (index . 1).key }}
{{- end }}

{{/* The environment of every process. */}}
{{- define "penstock.env" -}}
{{ include "penstock.secretEnv" (list "PENSTOCK_DATABASE_URL" .Values.secrets.databaseUrl) }}
{{ include "penstock.secretEnv" (list "PENSTOCK_SECRET_KEY" .Values.secrets.secretKey) }}
- name: PENSTOCK_DATA_DIR
  value: /data
- name: PENSTOCK_HOST
  value: {{ .Values.listen | quote }}
{{- range $name, $value := .Values.settings }}
- name: {{ $name }}
  value: {{ $value | toString | quote }}
{{- end }}
{{- with .Values.env }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* What the containers of every role share. */}}
{{- define "penstock.container" -}}
image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
{{- with .Values.envFrom }}
envFrom:
  {{- toYaml . | nindent 2 }}
{{- end }}
volumeMounts:
  - name: data
    mountPath: /data
  - name: tmp
    mountPath: /tmp
  {{- with .Values.volumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* The migration may take its time before a process listens. */}}
{{- define "penstock.probes" -}}
startupProbe:
  httpGet: { path: /healthz, port: http }
  periodSeconds: 2
  failureThreshold: 300
livenessProbe:
  httpGet: { path: /healthz, port: http }
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: { path: /readyz, port: http }
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 3
{{- end }}

{{/* What the pods of every role share. The names of services would be read as settings, so there are no service links. */}}
{{- define "penstock.pod" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
volumes:
  - name: data
    emptyDir:
      sizeLimit: {{ .Values.scratchSizeLimit }}
  - name: tmp
    emptyDir:
      sizeLimit: {{ .Values.scratchSizeLimit }}
  {{- with .Values.volumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* Where pods go: dict of `at` (nodeSelector, tolerations, affinity), `spread` (its constraints) and their `selector`. */}}
{{- define "penstock.scheduling" -}}
{{- $parts := pick .at "nodeSelector" "tolerations" "affinity" -}}
{{- range $name, $value := $parts }}
{{- with $value }}
{{ $name }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- $selector := .selector }}
{{- with .spread }}
topologySpreadConstraints:
  {{- range . }}
  - labelSelector:
      matchLabels:
        {{- $selector | nindent 8 }}
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}

{{/* The settings of a group of workers: list of the root and the group. Returns JSON. */}}
{{- define "penstock.group" -}}
{{- $root := index . 0 -}}
{{- $group := index . 1 -}}
{{- $shared := pick $root.Values.worker "resources" "autoscaling" "podAnnotations" "nodeSelector" "tolerations" "affinity" -}}
{{- $own := dict -}}
{{- range $name, $value := $shared }}
{{- $_ := set $own $name (hasKey $group $name | ternary (index $group $name) $value) }}
{{- end }}
{{- $_ := set $own "selector" (include "penstock.selector" (list $root "worker" $group.name)) -}}
{{- $_ := set $own "fullname" (printf "%s-worker-%s" (include "penstock.fullname" $root) $group.name) -}}
{{- toJson $own }}
{{- end }}
