# Looks into an image from inside. What it makes is thrown away: see deploy/images.sh.
ARG IMAGE
FROM ${IMAGE}
ARG MODULE
COPY deploy/look.py /tmp/
RUN ["/bin/sh", "-c", "exec python /tmp/look.py \"$MODULE\""]
