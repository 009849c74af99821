{{- define "mma.fullname" -}}
{{- if .Values.fullnameOverride -}}{{ .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}{{ .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else -}}{{ printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" }}{{- end -}}
{{- end -}}
{{- end -}}

{{- define "mma.image" -}}
{{- with .Values.listeners.image -}}
{{- if .digest -}}{{ .repository }}@{{ .digest }}{{- else -}}{{ .repository }}:{{ .tag }}{{- end -}}
{{- end -}}
{{- end -}}

{{/* On every pod, those of runs too: what the network policies select. */}}
{{- define "mma.release" -}}
mma-pipeline/release: {{ include "mma.fullname" . }}
{{- end -}}

{{- define "mma.labels" -}}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
app.kubernetes.io/name: mma-pipeline
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* Selector of one component: (list $ "daemon") */}}
{{- define "mma.selector" -}}
{{ include "mma.release" (index . 0) }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{/* The restricted pod security standard, and a root file system that nobody writes to. */}}
{{- define "mma.podSecurity" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
fsGroup: 10001
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "mma.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "mma.dagsterHome" -}}/opt/dagster/home{{- end -}}
{{- define "mma.pgHost" -}}
{{- if .Values.postgresql.inCluster.enabled -}}{{ include "mma.fullname" . }}-postgresql{{- else -}}{{ .Values.postgresql.host }}{{- end -}}
{{- end -}}
{{- define "mma.pgPlace" -}}
{{ .Values.postgresql.user }}@{{ include "mma.pgHost" . }}:{{ if .Values.postgresql.inCluster.enabled }}5432{{ else }}{{ .Values.postgresql.port }}{{ end }}
{{- end -}}

{{/* Products on a volume of this release: asked for, or because nothing may go where they belong. */}}
{{- define "mma.local" -}}
{{- with .Values.listeners -}}
{{- if or (eq .storage.type "local") .dryRun (not .writeToStorage) }}true{{ end -}}
{{- end -}}
{{- end -}}

{{- define "mma.volumes" -}}
- name: home
  emptyDir: {sizeLimit: 1Gi}
- name: tmp
  emptyDir: {sizeLimit: 4Gi}
{{- if include "mma.local" . }}
- name: products
  persistentVolumeClaim: {claimName: {{ include "mma.fullname" . }}-products}
{{- end }}
{{- end -}}

{{- define "mma.volumeMounts" -}}
- {name: home, mountPath: {{ include "mma.dagsterHome" . }}}
- {name: tmp, mountPath: /tmp}
{{- if include "mma.local" . }}
- {name: products, mountPath: {{ include "mma.dagsterHome" . }}/products}
{{- end }}
{{- end -}}

{{/* Dagster's settings in a pod of this chart; a run's pod gets its own mount from the launcher. */}}
{{- define "mma.instanceVolume" -}}
- name: instance
  configMap: {name: {{ include "mma.fullname" . }}-instance}
{{- end -}}
{{- define "mma.instanceMount" -}}
- {name: instance, mountPath: {{ include "mma.dagsterHome" . }}/dagster.yaml, subPath: dagster.yaml}
{{- end -}}

{{/* (list SECRET NAME key, NAME key …) as env entries */}}
{{- define "mma.secretEnv" -}}
{{- $secret := first . -}}
{{- range $pair := chunk 2 (rest .) }}
- name: {{ first $pair }}
  valueFrom: {secretKeyRef: {name: {{ $secret }}, key: {{ last $pair }}}}
{{- end -}}
{{- end -}}

{{- define "mma.databaseEnv" -}}
{{- include "mma.secretEnv" (list .Values.postgresql.existingSecret "PGPASSWORD" "postgresql-password") | trim }}
{{- end -}}

{{/* The queue's address. Celery takes no password but in the address; Kubernetes puts it there, and no manifest holds it. */}}
{{- define "mma.queueEnv" -}}
{{- if .Values.queue.inCluster.enabled }}
{{- include "mma.secretEnv" (list .Values.queue.existingSecret "MMA_QUEUE_PASSWORD" "queue-password") }}
- name: MMA_CELERY_BROKER
  value: redis://:$(MMA_QUEUE_PASSWORD)@{{ include "mma.fullname" . }}-queue:6379/0
{{- else }}
{{- include "mma.secretEnv" (list .Values.queue.existingSecret "MMA_CELERY_BROKER" "queue-url") }}
{{- end }}
{{- end -}}

{{/* What any process with Dagster's settings needs: its database, and the queue that its launcher names. */}}
{{- define "mma.dagsterEnv" -}}
{{- include "mma.databaseEnv" . }}
{{- include "mma.queueEnv" . }}
{{- end -}}

{{/* Secrets of what is switched on. libpq reads PGPASSWORD, so no URL holds a password. */}}
{{- define "mma.env" -}}
{{- $secret := .Values.listeners.existingSecret -}}
{{- $keys := list $secret -}}
{{- with .Values.listeners -}}
{{- if and .kafka.enabled (not .kafka.bootstrap) }}{{ $keys = concat $keys (list "KAFKA_CLIENT_ID" "kafka-client-id" "KAFKA_CLIENT_SECRET" "kafka-client-secret") }}{{ end -}}
{{- if .api.host }}{{ $keys = concat $keys (list "API_TOKEN" "api-token") }}{{ end -}}
{{- if eq .storage.type "s3" }}{{ $keys = concat $keys (list "AWS_ACCESS_KEY_ID" "aws-access-key-id" "AWS_SECRET_ACCESS_KEY" "aws-secret-access-key") }}{{ end -}}
{{- if eq .storage.type "swift" }}{{ $keys = concat $keys (list "OS_USERNAME" "swift-username" "OS_PASSWORD" "swift-password") }}{{ end -}}
{{- if eq .storage.type "abfs" }}{{ $keys = concat $keys (list "AZURE_ACCOUNT_NAME" "azure-account-name" "AZURE_ACCOUNT_KEY" "azure-account-key") }}{{ end -}}
{{- if .hop.enabled }}{{ $keys = concat $keys (list "HOP_USERNAME" "hop-username" "HOP_PASSWORD" "hop-password") }}{{ end -}}
{{- if .webhook.enabled }}{{ $keys = concat $keys (list "MMA_WEBHOOK_URL" "webhook-url") }}{{ end -}}
{{- if .tom.url }}{{ $keys = concat $keys (list "MMA_POINTINGS_TOM_TOKEN" "tom-pointings-token") }}{{ end -}}
{{- end -}}
{{- if and .Values.survey.enabled .Values.survey.authenticate }}{{ $keys = concat $keys (list "MMA_SURVEY_USERNAME" "survey-username" "MMA_SURVEY_PASSWORD" "survey-password") }}{{ end -}}
{{- include "mma.dagsterEnv" . }}
{{- include "mma.secretEnv" $keys }}
{{- end -}}

{{/* The same for what only reads archive and store. */}}
{{- define "mma.readingEnv" -}}
{{- $keys := list .Values.listeners.existingSecret -}}
{{- with .Values.listeners -}}
{{- if eq .storage.type "s3" }}{{ $keys = concat $keys (list "AWS_ACCESS_KEY_ID" "aws-access-key-id" "AWS_SECRET_ACCESS_KEY" "aws-secret-access-key") }}{{ end -}}
{{- if eq .storage.type "swift" }}{{ $keys = concat $keys (list "OS_USERNAME" "swift-username" "OS_PASSWORD" "swift-password") }}{{ end -}}
{{- if eq .storage.type "abfs" }}{{ $keys = concat $keys (list "AZURE_ACCOUNT_NAME" "azure-account-name" "AZURE_ACCOUNT_KEY" "azure-account-key") }}{{ end -}}
{{- end -}}
{{- include "mma.databaseEnv" . }}
{{- include "mma.secretEnv" $keys }}
{{- end -}}

{{/* Pods that roll when their settings change. */}}
{{- define "mma.checksum" -}}
checksum/settings: {{ print (include "mma.dagsterYaml" .) (include "mma.environment" .) | sha256sum }}
{{- end -}}

{{/* Where a pod may run. One whose node is lost is started elsewhere soon: Kubernetes itself waits 300 s. */}}
{{- define "mma.scheduling" -}}
{{- include "mma.place" . }}
tolerations:
{{- with .Values.tolerations }}
{{- toYaml . | nindent 2 }}
{{- end }}
{{- range list "unreachable" "not-ready" }}
  - {key: node.kubernetes.io/{{ . }}, operator: Exists, effect: NoExecute, tolerationSeconds: {{ $.Values.nodeLostSeconds }}}
{{- end }}
{{- end -}}

{{/* The same for what cannot move, because its volume is at that node: it waits for the node. */}}
{{- define "mma.schedulingOfVolume" -}}
{{- include "mma.place" . }}
{{- with .Values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "mma.place" -}}
{{- with .Values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.listeners.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The login in front of a web page of this pod: (dict "root" $ "redirect" ADDRESS "upstream" ADDRESS) */}}
{{- define "mma.oauth2Proxy" -}}
{{- $oidc := .root.Values.webserver.oidc -}}
- name: oauth2-proxy
  image: {{ $oidc.image }}
  args:
    - --provider=oidc
    - --oidc-issuer-url={{ $oidc.issuerUrl }}
    - --redirect-url={{ .redirect }}
    - --scope={{ $oidc.scope }}
    - --http-address=0.0.0.0:4180
    - --upstream={{ .upstream }}
    # X-Forwarded-… headers are not trusted: the redirect address gives the public address, the ingress's log the clients.
    - --reverse-proxy=false
    - --cookie-secure=true
    - --cookie-httponly=true
    - --cookie-samesite=lax
    - --cookie-expire=12h
    - --cookie-refresh=1h
    - --skip-provider-button=true
    - --code-challenge-method=S256
    {{- range $oidc.allowedGroups }}
    - --allowed-group={{ . }}
    {{- end }}
    {{- range ($oidc.emailDomains | default (list "*")) }}
    - --email-domain={{ . }}
    {{- end }}
  env:
    {{- include "mma.secretEnv" (list $oidc.existingSecret "OAUTH2_PROXY_CLIENT_ID" "client-id"
          "OAUTH2_PROXY_CLIENT_SECRET" "client-secret" "OAUTH2_PROXY_COOKIE_SECRET" "cookie-secret") | indent 4 }}
  ports: [{name: proxy, containerPort: 4180}]
  readinessProbe:
    httpGet: {path: /ready, port: proxy}
  livenessProbe:
    httpGet: {path: /ping, port: proxy}
  resources: {{- toYaml $oidc.resources | nindent 4 }}
  securityContext: {{- include "mma.containerSecurity" .root | nindent 4 }}
{{- end -}}
