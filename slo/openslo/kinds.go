package openslo

// Version is the only apiVersion that is read and written.
const Version = "openslo/v1"

// Kinds of documents.
const (
	KindService                 = "Service"
	KindSLO                     = "SLO"
	KindSLI                     = "SLI"
	KindDataSource              = "DataSource"
	KindAlertPolicy             = "AlertPolicy"
	KindAlertCondition          = "AlertCondition"
	KindAlertNotificationTarget = "AlertNotificationTarget"
)

// Budgeting methods.
const (
	Occurrences     = "Occurrences"
	Timeslices      = "Timeslices"
	RatioTimeslices = "RatioTimeslices"
)

// Document is one document: its kind decides the type of Spec. The json names
// of the specification are those of the yaml tags below.
type Document[S any] struct {
	APIVersion string   `yaml:"apiVersion"`
	Kind       string   `yaml:"kind"`
	Metadata   Metadata `yaml:"metadata"`
	Spec       S        `yaml:"spec"`

	at place
}

// Metadata of a document.
type Metadata struct {
	Name        string            `yaml:"name"`
	DisplayName string            `yaml:"displayName,omitempty"`
	Labels      map[string]any    `yaml:"labels,omitempty"` // a text or a list of texts each
	Annotations map[string]string `yaml:"annotations,omitempty"`
}

// Kinds as types.
type (
	Service                 = Document[ServiceSpec]
	SLO                     = Document[SLOSpec]
	SLI                     = Document[SLISpec]
	DataSource              = Document[DataSourceSpec]
	AlertPolicy             = Document[AlertPolicySpec]
	AlertCondition          = Document[AlertConditionSpec]
	AlertNotificationTarget = Document[NotificationTargetSpec]
)

// ServiceSpec is a group of SLOs.
type ServiceSpec struct {
	Description string `yaml:"description,omitempty"`
}

// SLOSpec is one indicator and its objectives.
type SLOSpec struct {
	Description     string           `yaml:"description,omitempty"`
	Service         string           `yaml:"service"`
	Indicator       *InlineSLI       `yaml:"indicator,omitempty"`
	IndicatorRef    string           `yaml:"indicatorRef,omitempty"`
	TimeWindow      []TimeWindow     `yaml:"timeWindow,omitempty"`
	BudgetingMethod string           `yaml:"budgetingMethod"`
	Objectives      []Objective      `yaml:"objectives"`
	AlertPolicies   []AlertPolicyUse `yaml:"alertPolicies,omitempty"`
}

// InlineSLI is an indicator inside an SLO.
type InlineSLI struct {
	Metadata Metadata `yaml:"metadata"`
	Spec     SLISpec  `yaml:"spec"`
}

// TimeWindow of an SLO, rolling or aligned with a calendar.
type TimeWindow struct {
	Duration  string    `yaml:"duration"`
	IsRolling bool      `yaml:"isRolling"`
	Calendar  *Calendar `yaml:"calendar,omitempty"`
}

// Calendar is where a window that is not rolling begins.
type Calendar struct {
	StartTime string `yaml:"startTime"` // "2020-01-21 12:30:00"
	TimeZone  string `yaml:"timeZone"`  // of the IANA database
}

// Objective of an SLO. Target or TargetPercent; the others as the metric and
// the budgeting method need them.
type Objective struct {
	DisplayName     string     `yaml:"displayName,omitempty"`
	Op              string     `yaml:"op,omitempty"` // lte, gte, lt, gt
	Value           *float64   `yaml:"value,omitempty"`
	Target          *float64   `yaml:"target,omitempty"`        // [0, 1)
	TargetPercent   *float64   `yaml:"targetPercent,omitempty"` // [0, 100)
	TimeSliceTarget *float64   `yaml:"timeSliceTarget,omitempty"`
	TimeSliceWindow any        `yaml:"timeSliceWindow,omitempty"` // minutes, or a duration
	Indicator       *InlineSLI `yaml:"indicator,omitempty"`       // of a composite SLO
	IndicatorRef    string     `yaml:"indicatorRef,omitempty"`
	CompositeWeight *float64   `yaml:"compositeWeight,omitempty"`
}

// SLISpec is an indicator: one of the two metrics.
type SLISpec struct {
	Description     string       `yaml:"description,omitempty"`
	ThresholdMetric *Metric      `yaml:"thresholdMetric,omitempty"`
	RatioMetric     *RatioMetric `yaml:"ratioMetric,omitempty"`
}

// RatioMetric is total with good or bad, or a ratio that exists already.
type RatioMetric struct {
	Counter bool    `yaml:"counter"`
	Good    *Metric `yaml:"good,omitempty"`
	Bad     *Metric `yaml:"bad,omitempty"`
	Total   *Metric `yaml:"total,omitempty"`
	RawType string  `yaml:"rawType,omitempty"` // success or failure
	Raw     *Metric `yaml:"raw,omitempty"`
}

// Metric is where numbers come from.
type Metric struct {
	MetricSource MetricSource `yaml:"metricSource"`
}

// MetricSource is a query of a data source.
type MetricSource struct {
	MetricSourceRef string         `yaml:"metricSourceRef,omitempty"`
	Type            string         `yaml:"type,omitempty"`
	Spec            map[string]any `yaml:"spec"`
}

// DataSourceSpec is a connection to a source of metrics.
type DataSourceSpec struct {
	Description       string         `yaml:"description,omitempty"`
	Type              string         `yaml:"type"`
	ConnectionDetails map[string]any `yaml:"connectionDetails,omitempty"`
}

// AlertPolicyUse is a policy by name or in full.
type AlertPolicyUse struct {
	AlertPolicyRef string           `yaml:"alertPolicyRef,omitempty"`
	Kind           string           `yaml:"kind,omitempty"`
	Metadata       *Metadata        `yaml:"metadata,omitempty"`
	Spec           *AlertPolicySpec `yaml:"spec,omitempty"`
}

// AlertPolicySpec says when to alert whom.
type AlertPolicySpec struct {
	Description         string         `yaml:"description,omitempty"`
	AlertWhenNoData     bool           `yaml:"alertWhenNoData,omitempty"`
	AlertWhenResolved   bool           `yaml:"alertWhenResolved,omitempty"`
	AlertWhenBreaching  bool           `yaml:"alertWhenBreaching,omitempty"`
	Conditions          []ConditionUse `yaml:"conditions"`
	NotificationTargets []TargetUse    `yaml:"notificationTargets,omitempty"`
}

// ConditionUse is a condition by name or in full.
type ConditionUse struct {
	ConditionRef string              `yaml:"conditionRef,omitempty"`
	Kind         string              `yaml:"kind,omitempty"`
	Metadata     *Metadata           `yaml:"metadata,omitempty"`
	Spec         *AlertConditionSpec `yaml:"spec,omitempty"`
}

// AlertConditionSpec is a burn rate that must not be exceeded.
type AlertConditionSpec struct {
	Description string    `yaml:"description,omitempty"`
	Severity    string    `yaml:"severity"`
	Condition   Condition `yaml:"condition"`
}

// Condition of an alert.
type Condition struct {
	Kind           string   `yaml:"kind,omitempty"` // burnrate
	Op             string   `yaml:"op,omitempty"`
	Threshold      *float64 `yaml:"threshold"`
	LookbackWindow string   `yaml:"lookbackWindow"`
	AlertAfter     string   `yaml:"alertAfter,omitempty"`
}

// TargetUse is a notification target by name or in full.
type TargetUse struct {
	TargetRef string                  `yaml:"targetRef,omitempty"`
	Kind      string                  `yaml:"kind,omitempty"`
	Metadata  *Metadata               `yaml:"metadata,omitempty"`
	Spec      *NotificationTargetSpec `yaml:"spec,omitempty"`
}

// NotificationTargetSpec is somebody to notify.
type NotificationTargetSpec struct {
	Description string `yaml:"description,omitempty"`
	Target      string `yaml:"target"`
}
