#!/bin/sh
# Starts this member of the bookshop's database. Its number is the end of its name: member 0 is the
# primary, the others copy it and stream from it, by the name that it keeps (PRIMARY_HOST).
#
# Whatever crashes, and when, the next start heals it: what is not whole yet lies beside PGDATA and
# has another name. No member ever takes another one's place: there is no failover.
set -eu
umask 077
export LC_ALL=C

: "${PGDATA:?is not set}" "${MEMBER:?is not set}" "${PRIMARY_HOST:?is not set}"
secret=${SECRET_DIRECTORY:-/etc/database-secret}
sockets=${SOCKET_DIRECTORY:-/run/postgresql}
passfile=$sockets/passfile
primary="host=$PRIMARY_HOST port=5432 user=replicator passfile=$passfile connect_timeout=5"
other_database=42
patience_seconds=30

server=
stopping=

say() {
	printf '%s\n' "$*"
}

# The last words: Kubernetes shows them with the container's exit code.
give_up() { # exit code, sentence...
	code=$1
	shift
	say "$@ Exit code $code."
	if [ -w /dev/termination-log ]; then
		printf '%s Exit code %s.\n' "$*" "$code" >/dev/termination-log
	fi
	exit "$code"
}

# Process 1 gets no signal that it has not asked for. PostgreSQL takes INT for a fast shutdown, and
# TERM for one that waits until the last client has left.
stop() {
	stopping=yes
	if [ -n "$server" ]; then
		kill -INT "$server" 2>/dev/null || true
	else
		exit 143
	fi
}

# A shell acts on a signal when the command it waits for has ended, and during `wait` at once.
pause() { # seconds
	sleep "$1" &
	wait $! || true
}

# The server's exit code. `wait` ends early when a signal comes: then it is still there.
await_server() {
	code=0
	wait "$server" || code=$?
	while kill -0 "$server" 2>/dev/null; do
		code=0
		wait "$server" || code=$?
	done
	server=
}

write_whole() { # path; content on standard input
	cat >"$1.half"
	chmod 600 "$1.half"
	mv "$1.half" "$1"
}

# Written anew at each start: a claim outlives the settings it was made with.
configure() {
	write_whole "$PGDATA/postgresql.conf" <<-SETTINGS
		# Written at each start; ALTER SYSTEM and postgresql.auto.conf are yours.
		cluster_name = '$MEMBER'
		listen_addresses = '*'
		unix_socket_directories = '$sockets'
		password_encryption = 'scram-sha-256'
		timezone = 'UTC'
		log_timezone = 'UTC'
		log_checkpoints = off

		# A database for a class: small, many of them on a node.
		max_connections = 60
		shared_buffers = 32MB
		huge_pages = off
		jit = off
		max_parallel_workers_per_gather = 0
		autovacuum_max_workers = 1
		min_wal_size = 16MB
		max_wal_size = 48MB

		# For the replicas. Without slots, so that one that never comes back fills no disk; the
		# primary keeps this much for one that was away.
		wal_keep_size = 32MB
		max_wal_senders = 16
		wal_sender_timeout = 15s
		wal_receiver_timeout = 15s
		wal_retrieve_retry_interval = 2s
		primary_conninfo = '$primary application_name=$MEMBER'
	SETTINGS
	write_whole "$PGDATA/pg_hba.conf" <<-RULES
		# The socket's directory is shared within this Pod only. The superuser has no password.
		local all         all                      trust
		host  all         postgres   all           reject
		host  bookshop    bookshop   all           scram-sha-256
		host  postgres    replicator all           scram-sha-256
		host  replication replicator all           scram-sha-256
	RULES
}

# For libpq a colon ends a field.
write_passfile() {
	escaped=$(sed 's/[\\:]/\\&/g' "$secret/replicationPassword")
	printf '*:*:*:replicator:%s\n' "$escaped" | write_whole "$passfile"
}

# All processes of this container are ours, and none is a server yet: what this file says is of a
# container that is gone, but its number may be that of another process by now.
forget_killed_server() {
	rm -f "$PGDATA/postmaster.pid"
	# A volume's fsGroup opens it to the group, and PostgreSQL refuses to start like that.
	chmod 700 "$PGDATA"
}

control() { # name of a line of pg_controldata
	pg_controldata -D "$PGDATA" | sed -n "s/^$1: *//p"
}

# --- Member 0 ---

make_database() {
	say "The volume is empty: I make a new database."
	rm -rf "$PGDATA.making"
	initdb --pgdata="$PGDATA.making" --username=postgres --auth=trust --no-instructions \
		--encoding=UTF8 --locale=C --locale-provider=builtin --builtin-locale=C.UTF-8 \
		--data-checksums --wal-segsize=4 >/dev/null
	mv "$PGDATA.making" "$PGDATA"
	sync "$(dirname "$PGDATA")"
}

# At each start, because a claim may outlive its Secret: then the data is old and the passwords new.
set_up_roles() {
	private=$(mktemp -d)
	# Not open to the network, and not to the probes.
	postgres -D "$PGDATA" -c listen_addresses= -c unix_socket_directories="$private" \
		-c log_min_messages=fatal &
	server=$!
	# What pg_ctl looks at too: asking the server itself would leave an error in the log.
	until [ "$(sed -n '8s/ *$//p' "$PGDATA/postmaster.pid" 2>/dev/null)" = ready ]; do
		if ! kill -0 "$server" 2>/dev/null; then
			await_server
			[ -z "$stopping" ] || exit 143
			give_up 1 "PostgreSQL does not start with the data of this volume: see above."
		fi
		pause 0.1
	done
	done=0
	roles_and_database | SECRET=$secret psql --quiet --no-psqlrc --host="$private" \
		--username=postgres --dbname=postgres --set=ON_ERROR_STOP=1 >/dev/null || done=$?
	kill -INT "$server" 2>/dev/null || true
	await_server
	rm -rf "$private"
	[ -z "$stopping" ] || exit 143
	[ "$done" = 0 ] || give_up 1 "The roles and the database could not be set up: see above."
}

# psql itself reads the passwords: on a command line every process could see them.
roles_and_database() {
	cat <<-'SQL'
		SET log_min_error_statement = panic;
		SELECT 'CREATE ROLE bookshop LOGIN'
		WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'bookshop') \gexec
		SELECT 'CREATE ROLE replicator LOGIN REPLICATION IN ROLE pg_monitor'
		WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'replicator') \gexec
		\set password `cat "$SECRET/password"`
		ALTER ROLE bookshop PASSWORD :'password';
		\set password `cat "$SECRET/replicationPassword"`
		ALTER ROLE replicator PASSWORD :'password';
		SELECT 'CREATE DATABASE bookshop OWNER bookshop'
		WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = 'bookshop') \gexec
	SQL
}

be_primary() {
	if [ -d "$PGDATA" ]; then
		say "The database is on the volume."
	else
		make_database
	fi
	forget_killed_server
	configure
	set_up_roles
	say "I am the primary. The replicas reach me as $PRIMARY_HOST."
}

# --- The other members ---

ask_primary() { # database, question; more of the connection
	psql --no-psqlrc --no-password --no-align --tuples-only --dbname="$primary dbname=$1 ${3-}" \
		--command="$2"
}

# Waits for some seconds at most, or for ever.
await_primary() { # seconds, or nothing
	waited=0
	until pg_isready --quiet --dbname="$primary dbname=postgres" --timeout=3; do
		if [ -n "${1-}" ] && [ "$waited" -ge "$1" ]; then
			return 1
		fi
		if [ $((waited % 20)) -eq 0 ]; then
			say "The primary, $PRIMARY_HOST, does not answer yet: I wait for it."
		fi
		pause 2
		waited=$((waited + 2))
	done
}

# The clone becomes the data in steps, and the next start can go on after each of them.
move_clone_into_place() {
	if [ -d "$PGDATA.cloned" ]; then
		rm -rf "$PGDATA"
		mv "$PGDATA.cloned" "$PGDATA"
		sync "$(dirname "$PGDATA")"
	fi
}

clone() {
	while :; do
		await_primary
		rm -rf "$PGDATA.cloning"
		say "Cloning the primary, $PRIMARY_HOST ..."
		# In the background, so that a signal need not wait for its end.
		pg_basebackup --pgdata="$PGDATA.cloning" --dbname="$primary application_name=$MEMBER" \
			--no-password --checkpoint=fast --wal-method=stream &
		if wait $!; then
			break
		fi
		say "That was not a whole clone, so I throw it away and try again in 5 seconds."
		pause 5
	done
	touch "$PGDATA.cloning/standby.signal"
	sync "$PGDATA.cloning/standby.signal" "$PGDATA.cloning"
	mv "$PGDATA.cloning" "$PGDATA.cloned"
	move_clone_into_place
	say "The clone is whole."
}

# The newest file with WAL in it. PostgreSQL renames old files for later use: those have newer
# names, but what they say of themselves (16 digits from byte 8) is not yet what they are called.
newest_wal() {
	size=$(control "Bytes per WAL segment")
	for name in $(ls -r "$PGDATA/pg_wal"); do
		file=$PGDATA/pg_wal/$name
		case $name in *[!0-9A-F]*) continue ;; esac
		[ ${#name} = 24 ] || continue
		rest=${name#????????}
		log=${rest%????????}
		segment=${rest#????????}
		expected=$(printf '%08x%08x' $((0x$log)) $((0x$segment * size)))
		if [ "$(od -An -tx8 -j8 -N8 "$file" | tr -d ' ')" = "$expected" ]; then
			say "$name"
			return
		fi
	done
}

# Whether the primary can go on where this member's data ends: "yes", "gone" or "behind".
continuity() {
	here=$(control "Minimum recovery ending location")
	ask_primary postgres "SELECT CASE
		WHEN pg_current_wal_flush_lsn() < '$here' THEN 'behind'
		WHEN '$(newest_wal)' IN (SELECT name FROM pg_ls_waldir()) THEN 'yes'
		ELSE 'gone' END"
}

way_out() {
	say "I leave this volume as it is. If its data is not needed, have it made anew:"
	say "  kubectl delete pvc data-$MEMBER --wait=false"
	say "  kubectl delete pod $MEMBER"
}

# What is on the volume must be a copy of the primary's database, and one that can be continued.
check_data() {
	if ! await_primary "$patience_seconds"; then
		say "Still no primary: I start with what I have, and stream from it when it is back."
		return
	fi
	if ! told=$(ask_primary replication IDENTIFY_SYSTEM replication=true); then
		say "The primary does not tell who it is: I start with what I have."
		return
	fi
	mine=$(control "Database system identifier")
	if [ "$mine" != "${told%%|*}" ]; then
		say "The data on my volume is of database $mine, the primary's is ${told%%|*}."
		way_out
		give_up "$other_database" "My data belongs to another database than the primary's:" \
			"delete claim data-$MEMBER and Pod $MEMBER to have it cloned anew."
	fi
	case $(continuity) in
	behind)
		say "The data on my volume is newer than the primary's, which must have been set back."
		way_out
		give_up "$other_database" "My data is newer than the primary's:" \
			"delete claim data-$MEMBER and Pod $MEMBER to have it cloned anew."
		;;
	gone)
		say "I was away for long: the primary no longer has the WAL that I need to go on from where"
		say "I was (it keeps 32 MB). So my copy has to be made anew."
		clone
		;;
	esac
}

be_replica() {
	rm -rf "$PGDATA.cloning"
	move_clone_into_place
	if [ -d "$PGDATA" ]; then
		say "My copy of the database is on the volume."
		check_data
	else
		say "The volume is empty: I need a copy of the primary's database."
		clone
	fi
	forget_killed_server
	configure
	# Without it this would be a second primary.
	touch "$PGDATA/standby.signal"
	say "I am a replica. I stream from $PRIMARY_HOST, and answer questions, but change nothing."
}

main() {
	ordinal=${MEMBER##*-}
	trap stop TERM INT
	say "I am $MEMBER."
	for name in password replicationPassword; do
		[ -s "$secret/$name" ] ||
			give_up 1 "$secret/$name is missing or empty: is the Secret complete?"
	done
	write_passfile
	case $ordinal in
	0) be_primary ;;
	*[!0-9]* | "") give_up 2 "MEMBER must end in a number, as the Pods of a StatefulSet do." ;;
	*) be_replica ;;
	esac
	postgres -D "$PGDATA" &
	server=$!
	await_server
	say "PostgreSQL has ended with exit code $code."
	exit "$code"
}

main
