{{/* Plain environment variables, under the names of the GWTM listeners where they had one. */}}
{{- define "mma.environment" -}}
{{- $fullname := include "mma.fullname" . -}}
{{- $database := .Values.postgresql.database -}}
{{- $archive := default $database .Values.postgresql.archiveDatabase -}}
DAGSTER_HOME: {{ include "mma.dagsterHome" . }}
HOME: /tmp
DAGSTER_PG_URL: {{ printf "postgresql://%s/%s" (include "mma.pgPlace" .) $database | quote }}
MMA_ARCHIVE_URL: {{ printf "postgresql+psycopg2://%s/%s" (include "mma.pgPlace" .) $archive | quote }}
MMA_CELERY_BACKEND: {{ printf "db+postgresql+psycopg2://%s/%s" (include "mma.pgPlace" .) $database | quote }}
PGSSLMODE: {{ .Values.postgresql.sslMode | quote }}
{{- with .Values.listeners }}
{{- if .kafka.enabled }}
KAFKA_OFFSET_RESET: {{ .kafka.offsetReset | quote }}
GCN_DOMAIN: {{ .kafka.domain | quote }}
{{- with .kafka.groupId }}
KAFKA_GROUP_ID: {{ . | quote }}
{{- end }}
{{- with .kafka.bootstrap }}
MMA_KAFKA_BOOTSTRAP: {{ . | quote }}
{{- end }}
{{- end }}
{{- if .hop.enabled }}
{{- with .hop.photometryTopics }}
MMA_PHOTOMETRY_TOPICS: {{ . | quote }}
{{- end }}
{{- with .hop.publishUrl }}
MMA_HOP_URL: {{ . | quote }}
{{- end }}
{{- end }}
{{- if .api.host }}
{{- $origin := ternary .api.host (printf "http://%s" .api.host) (contains "://" .api.host) | trimSuffix "/" }}
{{- $port := ternary "" (printf ":%v" .api.port) (kindIs "invalid" .api.port) }}
API_BASE: {{ printf "%s%s/%s/" $origin $port (trimAll "/" .api.path) | quote }}
{{- end }}
{{- with .tom.url }}
MMA_POINTINGS_TOM_URL: {{ . | quote }}
{{- end }}
{{- if ne .storage.type "local" }}
STORAGE_BUCKET_SOURCE: {{ .storage.type }}
{{- end }}
{{- if eq .storage.type "s3" }}
AWS_BUCKET: {{ .storage.s3.bucket | quote }}
AWS_DEFAULT_REGION: {{ .storage.s3.region | quote }}
{{- with .storage.s3.endpoint }}
AWS_ENDPOINT_URL: {{ . | quote }}
{{- end }}
{{- end }}
{{- if eq .storage.type "swift" }}
OS_AUTH_URL: {{ .storage.swift.authUrl | quote }}
OS_STORAGE_URL: {{ .storage.swift.storageUrl | quote }}
OS_PROJECT_NAME: {{ .storage.swift.projectName | quote }}
OS_USER_DOMAIN_NAME: {{ .storage.swift.userDomainName | quote }}
OS_PROJECT_DOMAIN_NAME: {{ .storage.swift.projectDomainName | quote }}
OS_CONTAINER_NAME: {{ .storage.swift.containerName | quote }}
{{- end }}
{{- with $.Values.survey }}
{{- if .enabled }}
MMA_SURVEY_TOPICS: {{ required "survey.topics: name the topics to read" .topics | quote }}
MMA_SURVEY_GROUP: {{ .group | quote }}
MMA_SURVEY_OFFSET_RESET: {{ .offsetReset | quote }}
MMA_SURVEY_DAYS: {{ .days | quote }}
MMA_SURVEY_NIGHTS: {{ .nights | quote }}
{{- with .broker }}
MMA_SURVEY_BROKER: {{ . | quote }}
{{- end }}
{{- with .protocol }}
MMA_SURVEY_PROTOCOL: {{ . | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- with $.Values.portal }}
{{- if and .enabled .url }}
MMA_PORTAL_URL: {{ .url | quote }}
{{- end }}
{{- end }}
OBSERVING_RUN: {{ .observingRun | quote }}
DRY_RUN: {{ .dryRun | quote }}
WRITE_TO_STORAGE: {{ .writeToStorage | quote }}
{{- range $name, $value := .extraEnv }}
{{ $name }}: {{ $value | quote }}
{{- end }}
{{- end }}
{{- end -}}

{{/* What a lane adds to the pod of a run. */}}
{{- define "mma.lane" -}}
container_config:
  resources: {{- toYaml .resources | nindent 4 }}
{{- with .priorityClassName }}
pod_spec_config:
  priority_class_name: {{ . }}
{{- end }}
{{- end -}}

{{- define "mma.dagsterYaml" -}}
{{- $runs := 0 -}}
{{- $warm := list -}}
{{- range $lane, $values := .Values.lanes -}}
{{- $runs = add $runs $values.maxRuns -}}
{{- if eq $values.launch "warm" }}{{ $warm = append $warm $lane }}{{ end -}}
{{- end -}}
telemetry: {enabled: false}
nux: {enabled: false}

# PostgreSQL as Dagster knows it, with connections that are kept: a run makes some 450.
storage:
  custom:
    module: mma_pipeline.instance.pooled_postgres
    class: PooledPostgresStorage
    config:
      postgres_url: {env: DAGSTER_PG_URL}

# What a process prints goes to the cluster's logs, as JSON; nothing is kept on a pod's disk.
compute_logs:
  module: dagster.core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager

python_logs:
  python_log_level: {{ ternary "DEBUG" .Values.listeners.logging.level .Values.listeners.verbose }}

# Runs wait in one queue sorted by `dagster/priority`; a lane's limit keeps places free for the others.
concurrency:
  runs:
    max_concurrent_runs: {{ $runs }}
    tag_concurrency_limits:
{{- range $lane, $values := .Values.lanes }}
      - {key: mma/lane, value: {{ $lane }}, limit: {{ $values.maxRuns }}}
{{- end }}
      - {key: dagster/backfill, limit: {{ .Values.lanes.backfill.maxRuns }}}

run_coordinator:
{{- if eq .Values.lanes.live.launch "warm" }}
  # The stock queue; a live alert that finds a free worker is not put into it.
  module: mma_pipeline.instance.coordinator
  class: PromptRunCoordinator
{{- else }}
  module: dagster.core.run_coordinator
  class: QueuedRunCoordinator
{{- end }}
  config:
{{- if eq .Values.lanes.live.launch "warm" }}
    prompt_lanes: [live]
    prompt_runs: {{ .Values.lanes.live.maxRuns }}
{{- end }}
    # Without dequeue_use_threads: handing a run over takes milliseconds.
    dequeue_interval_seconds: 1
    # While the code server is away (killed, restarting, an upgrade), runs wait in the queue, and no attempt is lost.
    max_user_code_failure_retries: 150
    user_code_failure_retry_delay: 2

run_launcher:
  module: mma_pipeline.instance.launcher
  class: LaneRunLauncher
  config:
    warm_lanes: {{ $warm | toJson }}
    broker: {env: MMA_CELERY_BROKER}
    backend: {env: MMA_CELERY_BACKEND}
    pods:
      dagster_home: {{ include "mma.dagsterHome" . }}
      instance_config_map: {{ include "mma.fullname" . }}-instance
      service_account_name: {{ include "mma.fullname" . }}-run
      job_namespace: {{ .Release.Namespace }}
      image_pull_policy: {{ .Values.listeners.image.pullPolicy }}
      load_incluster_config: true
      fail_pod_on_run_failure: true
      env_config_maps: [{{ include "mma.fullname" . }}-env]
      labels: {{- include "mma.release" . | nindent 8 }}
      volumes: {{- include "mma.volumes" . | nindent 8 }}
      volume_mounts: {{- include "mma.volumeMounts" . | nindent 8 }}
      security_context: {{- include "mma.containerSecurity" . | nindent 8 }}
      run_k8s_config:
        container_config:
          env: {{- include "mma.env" . | nindent 12 }}
          resources: {{- toYaml .Values.lanes.backfill.resources | nindent 12 }}
        pod_spec_config:
          automount_service_account_token: false
          security_context: {{- include "mma.podSecurity" . | nindent 12 }}
          {{- include "mma.scheduling" . | nindent 10 }}
        job_spec_config:
          backoff_limit: 0
          ttl_seconds_after_finished: 86400
      # A run's tags may ask for other resources, and for nothing else: no image, no volume, no service account.
      only_allow_user_defined_k8s_config_fields:
        container_config: {resources: true}
{{- $pods := list }}
{{- range $lane, $values := .Values.lanes }}{{ if eq $values.launch "pod" }}{{ $pods = append $pods $lane }}{{ end }}{{ end }}
    pod_lanes: {{- if not $pods }} {}{{ end }}
{{- range $pods }}
      {{ . }}: {{- include "mma.lane" (get $.Values.lanes .) | nindent 8 }}
{{- end }}

# The UI marks streams and daily assets as stale if they are not read or made.
freshness:
  enabled: true

run_retries:
  enabled: true
  max_retries: 3

# A run whose pod or worker is gone is noticed and started again: Kubernetes, or the worker itself, is asked every three seconds.
# What was handed to the workers' queue and lost, and a pod that died before its run began, are found by `lost_runs_sensor`. Alerts,
# kilonova scores and publications carry a limit of their own (tag `dagster/max_runtime`, 120 to 1800 s); this one is for what
# people and backfills start. The time to start is for a pod that waits for a node, or for its image.
run_monitoring:
  enabled: true
  start_timeout_seconds: 180
  cancel_timeout_seconds: 60
  max_runtime_seconds: 7200
  poll_interval_seconds: 3

# A sensor long-polls its stream, so each needs a thread of its own.
sensors: {use_threads: true, num_workers: 8}
schedules: {use_threads: true, num_workers: 2}

retention:
  sensor:
    purge_after_days: {skipped: 1, failure: 30, success: 30}
  schedule:
    purge_after_days: 30
{{- end -}}
