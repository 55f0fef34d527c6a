"""What a notebook or a terminal displays: the pipeline, a build's log, the sites, the map.

Everything has a form that can be saved and read without a kernel, and says in words what it shows.
"""

from labkit.show import terminal
from labkit.show.diagram import Diagram, diagram
from labkit.show.following import follow
from labkit.show.live import LiveView, live
from labkit.show.logs import log
from labkit.show.phase_map import phase_map
from labkit.show.pipeline import PipelineView, pipeline
from labkit.show.sites import Site, Sites, link, sites

__all__ = [
    "Diagram",
    "LiveView",
    "PipelineView",
    "Site",
    "Sites",
    "diagram",
    "follow",
    "link",
    "live",
    "log",
    "phase_map",
    "pipeline",
    "sites",
    "terminal",
]
