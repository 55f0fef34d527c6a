"""CodeConnections: names git servers that the lab can reach, so that pipelines can read from them.

AWS page: "Connections" in the Developer Tools Console User Guide.
"""
