"""report.html"""
from exporter.parity.report import Report
def render(report: Report) -> str:
    return "<html></html>"
