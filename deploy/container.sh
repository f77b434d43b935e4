#!/bin/sh
# What an image of deploy/Dockerfile runs: `container.sh serve`, and `container.sh health`.
# SERVICE says which process it is.
set -eu

case "$SERVICE" in
  identity) package=identity_svc protocol=grpc address=$KITH_IDENTITY_BIND ;;
  event) package=event_svc protocol=grpc address=$KITH_EVENT_BIND ;;
  knowledge) package=knowledge_svc protocol=grpc address=$KITH_KNOWLEDGE_BIND ;;
  gateway) package=gateway protocol=http address=$KITH_GATEWAY_BIND ;;
  *) echo "container.sh: SERVICE=$SERVICE is not identity, event, knowledge or gateway" >&2; exit 2 ;;
esac

case "$1" in
  serve) exec python -m "$package" ;;
  health) exec python -m svckit.healthcheck "$protocol" "$address" ;;
  *) echo "usage: container.sh serve|health" >&2; exit 2 ;;
esac
