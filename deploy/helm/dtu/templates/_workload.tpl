{{/* One set of gateways: a Deployment, or with volumes a StatefulSet. Takes root, track, name, replicas, image. */}}
{{- define "dtu.workload" -}}
{{- $root := .root -}}
{{- $values := .root.Values -}}
apiVersion: apps/v1
kind: {{ ternary "StatefulSet" "Deployment" $values.persistence.enabled }}
metadata:
  name: {{ .name }}
  labels:
    {{- include "dtu.labels" $root | nindent 4 }}
    dtu/track: {{ .track }}
spec:
  replicas: {{ .replicas }}
  minReadySeconds: {{ $values.rollout.minReadySeconds }}
  selector:
    matchLabels:
      {{- include "dtu.selector" $root | nindent 6 }}
      dtu/track: {{ .track }}
  {{- if $values.persistence.enabled }}
  serviceName: {{ include "dtu.fullname" $root }}-gateways
  podManagementPolicy: Parallel
  updateStrategy:
    type: RollingUpdate
  volumeClaimTemplates:
    - metadata:
        name: data
      spec:
        accessModes: {{ toYaml $values.persistence.accessModes | nindent 10 }}
        {{- with $values.persistence.storageClass }}
        storageClassName: {{ . }}
        {{- end }}
        resources:
          requests:
            storage: {{ $values.persistence.size }}
  {{- else }}
  strategy:
    type: RollingUpdate
    rollingUpdate:
      maxSurge: {{ $values.rollout.maxSurge }}
      maxUnavailable: {{ $values.rollout.maxUnavailable }}
  {{- end }}
  template:
    metadata:
      labels:
        {{- include "dtu.labels" $root | nindent 8 }}
        dtu/track: {{ .track }}
        {{- with $values.podLabels }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
      annotations:
        # Nobody signals a process in a container: another configuration is another pod.
        checksum/config: {{ include "dtu.gateway" $root | sha256sum }}
        checksum/secret: {{ toJson (list $values.secret.token $values.secret.keys $values.secret.files) | sha256sum }}
        {{- with $values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      serviceAccountName: {{ include "dtu.serviceAccount" $root }}
      automountServiceAccountToken: false
      enableServiceLinks: false
      {{- with $values.imagePullSecrets }}
      imagePullSecrets: {{ toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
      terminationGracePeriodSeconds: {{ add $values.drain.endpointsSeconds $values.drain.sessionsSeconds $values.drain.linesSeconds $values.terminationGraceExtraSeconds }}
      securityContext:
        runAsNonRoot: true
        runAsUser: 65532
        runAsGroup: 65532
        fsGroup: 65532
        fsGroupChangePolicy: OnRootMismatch
        seccompProfile:
          type: RuntimeDefault
      containers:
        - name: gateway
          image: {{ include "dtu.image" . }}
          imagePullPolicy: {{ $values.image.pullPolicy }}
          args: [serve, --config, /etc/dtu/gateway.toml]
          ports:
            {{- if $values.listeners.native.enabled }}
            - { name: native, containerPort: {{ $values.listeners.native.port }}, protocol: TCP }
            {{- if $values.listeners.native.udp }}
            - { name: native-udp, containerPort: {{ $values.listeners.native.port }}, protocol: UDP }
            {{- end }}
            {{- end }}
            {{- if $values.listeners.transparent.enabled }}
            - { name: transparent, containerPort: {{ $values.listeners.transparent.port }}, protocol: TCP }
            {{- end }}
            - { name: http, containerPort: {{ $values.http.port }}, protocol: TCP }
          securityContext:
            allowPrivilegeEscalation: false
            readOnlyRootFilesystem: true
            privileged: false
            capabilities:
              drop: [ALL]
          resources: {{ toYaml $values.resources | nindent 12 }}
          startupProbe:
            httpGet: { path: /health/live, port: http }
            {{- toYaml $values.probes.startup | nindent 12 }}
          livenessProbe:
            httpGet: { path: /health/live, port: http }
            {{- toYaml $values.probes.liveness | nindent 12 }}
          readinessProbe:
            httpGet: { path: /health/ready, port: http }
            {{- toYaml $values.probes.readiness | nindent 12 }}
          lifecycle:
            preStop:
              sleep:
                seconds: {{ $values.drain.endpointsSeconds }}
          volumeMounts:
            - { name: config, mountPath: /etc/dtu/gateway.toml, subPath: gateway.toml, readOnly: true }
            - { name: secret, mountPath: /etc/dtu/secret, readOnly: true }
            - { name: data, mountPath: /var/lib/dtu }
      volumes:
        - name: config
          configMap:
            name: {{ include "dtu.fullname" $root }}
        - name: secret
          secret:
            secretName: {{ include "dtu.secret" $root }}
            # The owner and the gateway's group.
            defaultMode: 0440
        {{- if not $values.persistence.enabled }}
        - name: data
          emptyDir:
            sizeLimit: {{ $values.scratch.sizeLimit }}
        {{- end }}
      topologySpreadConstraints:
        {{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
        - maxSkew: 1
          topologyKey: {{ . }}
          whenUnsatisfiable: ScheduleAnyway
          labelSelector:
            matchLabels:
              {{- include "dtu.selector" $root | nindent 14 }}
        {{- end }}
      {{- with $values.nodeSelector }}
      nodeSelector: {{ toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.tolerations }}
      tolerations: {{ toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.affinity }}
      affinity: {{ toYaml . | nindent 8 }}
      {{- end }}
{{- end -}}
