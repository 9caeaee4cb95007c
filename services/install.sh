#!/bin/sh
# What real servers and the browser tests need from Debian's packages. None of them is left running as a service of the machine.
set -eu
[ "$(id -u)" = 0 ] || { echo "Run it as root: it installs Debian packages." >&2; exit 1; }
command -v apt-get >/dev/null || { echo "It needs a Debian system." >&2; exit 1; }

wanted="mariadb-server-core mariadb-client-core prometheus prometheus-alertmanager chromium fonts-noto-cjk fonts-nanum"
command -v mvn >/dev/null || wanted="$wanted maven"
command -v javac >/dev/null || wanted="$wanted default-jdk-headless"
missing=""
for package in $wanted; do
    dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
done
if [ -n "$missing" ]; then
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' >"$policy"
        chmod 755 "$policy"
        trap 'rm -f "$policy"' EXIT
    fi
    export DEBIAN_FRONTEND=noninteractive
    # A mirror may be away for a moment: each file is asked for again, and then the whole.
    tries=3
    # shellcheck disable=SC2086 # several names
    until apt-get update -qq -o Acquire::Retries=3 &&
        apt-get install -y -qq -o Acquire::Retries=3 --no-install-recommends $missing >/dev/null; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || { echo "Debian's packages could not be had:$missing" >&2; exit 1; }
        sleep 20
    done
    if [ -d /run/systemd/system ]; then
        systemctl disable --quiet prometheus prometheus-alertmanager prometheus-node-exporter 2>/dev/null || true
    fi
fi
command -v go >/dev/null || echo "Toxiproxy and versitygw need Go, newer than Debian's: without it their tests can't run." >&2
