{{/*
dbvalet.sidecar is the entry of initContainers, and dbvalet.volume that of volumes. A chart that
depends on this one writes in its Deployment

  initContainers:
    {{- include "dbvalet.sidecar" . | nindent 8 }}
  volumes:
    {{- include "dbvalet.volume" . | nindent 8 }}

and has what is in values.yaml below the key dbvalet.
*/}}
{{- define "dbvalet.sidecar" -}}
- {{ include "dbvalet.container" . | nindent 2 | trim }}
  restartPolicy: Always
{{- end }}

{{- define "dbvalet.volume" -}}
- name: dbvalet-config
  configMap:
    name: {{ include "dbvalet.name" . }}
{{- end }}

{{- define "dbvalet.name" -}}
{{ .Release.Name | trunc 55 | trimSuffix "-" }}-dbvalet
{{- end }}

{{/* dbvalet.container is what a sidecar and a pod of dbvalet alone share. */}}
{{- define "dbvalet.container" -}}
{{- $v := .Values.dbvalet | default .Values -}}
name: dbvalet
image: "{{ $v.image.repository }}:{{ $v.image.tag }}"
imagePullPolicy: {{ $v.image.pullPolicy | default "IfNotPresent" }}
args: [--config, /etc/dbvalet/dbvalet.yaml]
env:
  - name: DBVALET_ADMIN
    value: 127.0.0.1:9901
  {{- with $v.env }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
ports:
  - name: dbvalet-metrics
    containerPort: {{ include "dbvalet.metricsPort" $v }}
startupProbe:
  exec:
    command: [/dbvalet, health, --startup]
  periodSeconds: 1
  timeoutSeconds: 5
  failureThreshold: 60
readinessProbe:
  httpGet:
    path: /readyz
    port: dbvalet-metrics
  periodSeconds: 5
livenessProbe:
  httpGet:
    path: /livez
    port: dbvalet-metrics
  periodSeconds: 10
resources: {{- toYaml $v.resources | nindent 2 }}
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  readOnlyRootFilesystem: true
  allowPrivilegeEscalation: false
  capabilities:
    drop: [ALL]
  seccompProfile:
    type: RuntimeDefault
volumeMounts:
  - name: dbvalet-config
    mountPath: /etc/dbvalet
    readOnly: true
  {{- with $v.volumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* The probes are on the address of config.metrics. */}}
{{- define "dbvalet.metricsPort" -}}
{{- regexFind "[0-9]+$" .config.metrics -}}
{{- end }}
