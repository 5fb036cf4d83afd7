"""The code lists of X12 271 that both of Stedi's shapes speak, each in its own spelling.

The older shape gives X12's codes; the current one gives words. Unknown codes and words are allowed everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from bus.coverage import BenefitKind, CoverageLevel, Network, TimePeriod

ACTIVE_CODES: Final = ("1", "2", "3", "4", "5")
INACTIVE_CODES: Final = ("6", "7", "8")

STATUS_WORDS: Final[Mapping[str, str]] = {
    "ACTIVE_COVERAGE": "1",
    "ACTIVE_FULL_RISK_CAPITATION": "2",
    "ACTIVE_SERVICES_CAPITATED": "3",
    "ACTIVE_SERVICES_CAPITATED_TO_PRIMARY_CARE_PROVIDER": "4",
    "ACTIVE_PENDING_INVESTIGATION": "5",
    "INACTIVE": "6",
    "INACTIVE_PENDING_ELIGIBILITY_UPDATE": "7",
    "INACTIVE_PENDING_INVESTIGATION": "8",
}
"""The current shape's word for each EB01 code that is a status."""

BENEFIT_GROUPS: Final[Mapping[str, str]] = {
    "coInsurance": "A",
    "coPayment": "B",
    "deductible": "C",
    "coverageBasis": "CB",
    "benefitDescription": "D",
    "exclusions": "E",
    "limitations": "F",
    "outOfPocket": "G",
    "unlimited": "H",
    "nonCovered": "I",
    "costContainment": "J",
    "reserve": "K",
    "primaryCareProvider": "L",
    "preExistingCondition": "M",
    "managedCareCoordinator": "MC",
    "servicesRestrictedToFollowingProvider": "N",
    "notDeemedMedicalNecessity": "O",
    "benefitDisclaimer": "P",
    "secondSurgicalOpinionRequired": "Q",
    "otherOrAdditionalPayer": "R",
    "priorYearsHistory": "S",
    "cardReportedStolen": "T",
    "contactFollowingEntityForInformation": "U",
    "cannotProcess": "V",
    "otherSourceOfData": "W",
    "healthCareFacility": "X",
    "spendDown": "Y",
}
"""The current shape's group of rows for each EB01 code that is no status, in the order of the codes."""

CODE_ORDER: Final[Mapping[str, int]] = {
    code: place for place, code in enumerate((*STATUS_WORDS.values(), *BENEFIT_GROUPS.values()))
}

KINDS: Final[Mapping[str, BenefitKind]] = {
    **dict.fromkeys(ACTIVE_CODES, BenefitKind.ACTIVE_COVERAGE),
    **dict.fromkeys(INACTIVE_CODES, BenefitKind.INACTIVE),
    "A": BenefitKind.COINSURANCE,
    "B": BenefitKind.COPAYMENT,
    "C": BenefitKind.DEDUCTIBLE,
    "D": BenefitKind.DESCRIPTION,
    "E": BenefitKind.EXCLUSION,
    "F": BenefitKind.LIMITATION,
    "G": BenefitKind.OUT_OF_POCKET,
    "H": BenefitKind.UNLIMITED,
    "I": BenefitKind.NON_COVERED,
    "J": BenefitKind.COST_CONTAINMENT,
    "K": BenefitKind.RESERVE,
    "L": BenefitKind.PRIMARY_CARE_PROVIDER,
    "P": BenefitKind.DESCRIPTION,
    "R": BenefitKind.OTHER_PAYER,
    "Y": BenefitKind.SPEND_DOWN,
}
"""EB01; a code that is not here is OTHER."""

LEVEL_CODES: Final[Mapping[str, CoverageLevel]] = {
    "IND": CoverageLevel.INDIVIDUAL,
    "FAM": CoverageLevel.FAMILY,
    "EMP": CoverageLevel.EMPLOYEE_ONLY,
    "ESP": CoverageLevel.EMPLOYEE_AND_SPOUSE,
    "ECH": CoverageLevel.EMPLOYEE_AND_CHILDREN,
    "SPO": CoverageLevel.SPOUSE_ONLY,
    "SPC": CoverageLevel.SPOUSE_AND_CHILDREN,
    "CHD": CoverageLevel.CHILDREN_ONLY,
    "DEP": CoverageLevel.DEPENDENTS_ONLY,
}
"""EB02. The current shape's words are the names of `CoverageLevel`."""

NETWORK_CODES: Final[Mapping[str, Network]] = {
    "Y": Network.IN_NETWORK,
    "N": Network.OUT_OF_NETWORK,
    "W": Network.BOTH,
    "U": Network.UNKNOWN,
}
"""EB12; W is "not applicable": the benefit holds inside and outside the network."""

NETWORK_WORDS: Final[Mapping[str, Network]] = {
    "IN_NETWORK": Network.IN_NETWORK,
    "OUT_OF_NETWORK": Network.OUT_OF_NETWORK,
    "IN_AND_OUT_OF_NETWORK": Network.BOTH,
}

PERIOD_WORDS: Final[Mapping[str, str]] = {
    "6": "HOUR",
    "7": "DAY",
    "21": "YEARS",
    "22": "SERVICE_YEAR",
    "23": "CALENDAR_YEAR",
    "24": "YEAR_TO_DATE",
    "25": "CONTRACT",
    "26": "EPISODE",
    "27": "VISIT",
    "28": "OUTLIER",
    "29": "REMAINING",
    "30": "EXCEEDED",
    "31": "NOT_EXCEEDED",
    "32": "LIFETIME",
    "33": "LIFETIME_REMAINING",
    "34": "MONTH",
    "35": "WEEK",
    "36": "ADMISSION",
}
"""EB06, with the current shape's word for each."""

PERIODS: Final[Mapping[str, TimePeriod]] = {period.value: period for period in TimePeriod}
"""By the current shape's words; one that is not here is OTHER."""

QUANTITY_WORDS: Final[Mapping[str, str]] = {
    "8H": "MINIMUM",
    "99": "QUANTITY_USED",
    "CA": "COVERED_ACTUAL",
    "CE": "COVERED_ESTIMATED",
    "D3": "NUMBER_OF_CO_INSURANCE_DAYS",
    "DB": "DEDUCTIBLE_BLOOD_UNITS",
    "DY": "DAYS",
    "HS": "HOURS",
    "LA": "LIFE_TIME_RESERVE_ACTUAL",
    "LE": "LIFE_TIME_RESERVE_ESTIMATED",
    "M2": "MAXIMUM",
    "MN": "MONTH",
    "P6": "NUMBER_OF_SERVICES_OR_PROCEDURES",
    "QA": "QUANTITY_APPROVED",
    "VS": "VISITS",
    "YY": "YEARS",
}
"""EB09, with the current shape's word for each."""

PROCEDURE_SYSTEMS: Final[Mapping[str, str]] = {
    "AD": "CDT",
    "CJ": "CPT",
    "HC": "HCPCS",
    "ND": "NDC",
    "ZZ": "ICD-10-PCS",
}
"""EB13-1: where a procedure code comes from, with the current shape's name of the system."""
