# Copyright 2026 The etf_jax Authors. SPDX-License-Identifier: Apache-2.0
"""Schema of a JobSet (v1alpha2), as far as launch/gke_jobset.yaml needs it.

After the API references of JobSet, of Kubernetes' Job (batch/v1) and of its
Pod. Every other field is refused, so that a misspelt one is found.
"""


def _only(required=(), **properties):
  return {
    "type": "object",
    "properties": properties,
    "required": list(required),
    "additionalProperties": False,
  }


def _list(items):
  return {"type": "array", "items": items, "minItems": 1}


def _one_of(*values):
  return {"enum": list(values)}


_TEXT = {"type": "string", "minLength": 1}
_TEXTS = _list(_TEXT)
_TEXT_BY_NAME = {"type": "object", "additionalProperties": {"type": "string"}}
_COUNT = {"type": "integer", "minimum": 0}
# A name of a pod is that of the JobSet with "-slice-0-N-xxxxx" behind it.
_NAME = {"type": "string", "pattern": "^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$"}
_LABEL = {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"}

_METADATA = _only(
  ["name"], name=_NAME, labels=_TEXT_BY_NAME, annotations=_TEXT_BY_NAME
)

_CONTAINER = _only(
  ["name", "image"],
  name=_LABEL,
  image=_TEXT,
  command=_TEXTS,
  args=_list({"type": "string"}),
  securityContext=_only(
    runAsUser=_COUNT,
    allowPrivilegeEscalation={"type": "boolean"},
    capabilities=_only(add=_TEXTS, drop=_TEXTS),
  ),
  resources=_only(
    limits={"type": "object", "additionalProperties": {"type": "integer"}}
  ),
  volumeMounts=_list(
    _only(["name", "mountPath"], name=_LABEL, mountPath=_TEXT)
  ),
)

_POD = _only(
  ["containers", "restartPolicy"],
  # Jobs do not allow Always, and a podFailurePolicy allows Never alone.
  restartPolicy=_one_of("Never"),
  terminationGracePeriodSeconds=_COUNT,
  nodeSelector=_TEXT_BY_NAME,
  containers=_list(_CONTAINER),
  volumes=_list(
    _only(
      ["name", "persistentVolumeClaim"],
      name=_LABEL,
      persistentVolumeClaim=_only(["claimName"], claimName=_TEXT),
    )
  ),
)

_POD_FAILURE_RULE = _only(
  ["action"],
  action=_one_of("FailJob", "FailIndex", "Ignore", "Count"),
  onExitCodes=_only(
    ["operator", "values"],
    containerName=_LABEL,
    operator=_one_of("In", "NotIn"),
    values=_list({"type": "integer", "minimum": 1, "maximum": 255}),
  ),
  onPodConditions=_list(
    _only(["type"], type=_TEXT, status=_one_of("True", "False", "Unknown"))
  ),
) | {
  "oneOf": [{"required": ["onExitCodes"]}, {"required": ["onPodConditions"]}]
}

_JOB = _only(
  ["template"],
  parallelism=_COUNT,
  completions=_COUNT,
  backoffLimit=_COUNT,
  podFailurePolicy=_only(["rules"], rules=_list(_POD_FAILURE_RULE)),
  template=_only(["spec"], spec=_POD),
)

_FAILURE_RULE = _only(
  ["name", "action"],
  name={
    "type": "string",
    "pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
  },
  action=_one_of(
    "FailJobSet", "RestartJobSet", "RestartJobSetAndIgnoreMaxRestarts"
  ),
  targetReplicatedJobs=_TEXTS,
  onJobFailureReasons=_list(
    _one_of(
      "BackoffLimitExceeded",
      "DeadlineExceeded",
      "FailedIndexes",
      "MaxFailedIndexesExceeded",
      "PodFailurePolicy",
    )
  ),
)

SCHEMA = _only(
  ["apiVersion", "kind", "metadata", "spec"],
  apiVersion=_one_of("jobset.x-k8s.io/v1alpha2"),
  kind=_one_of("JobSet"),
  metadata=_METADATA,
  spec=_only(
    ["replicatedJobs"],
    failurePolicy=_only(maxRestarts=_COUNT, rules=_list(_FAILURE_RULE)),
    replicatedJobs=_list(
      _only(
        ["name", "template"],
        name=_LABEL,
        replicas=_COUNT,
        template=_only(["spec"], spec=_JOB),
      )
    ),
  ),
)
