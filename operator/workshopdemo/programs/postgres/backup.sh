#!/bin/sh
# Backs up the bookshop's database (PGHOST, PGUSER, PGPASSWORD ...) to its volume, and proves that
# the backup can be restored. Two steps of one Pod, dump and restore.
#
# A backup gets its name only after a restore of it has worked, and old ones are removed only after
# that: whatever goes wrong, the newest file in the directory is one that can be relied on. KEEP
# says how many stay (3).
set -eu
umask 027
export LC_ALL=C

# Not where backups of a file are: those are another user's, who lets nobody else write there.
directory=${DATA_DIR:-/data}/database-backups
workspace=${WORKSPACE:-/workspace}
keep=${KEEP:-3}
migration_seconds=${MIGRATION_WAIT_SECONDS:-0}
patience_seconds=${DATABASE_WAIT_SECONDS:-120}
export PGCONNECT_TIMEOUT=5

server=

say() {
	printf '%s\n' "$*"
}

fail() { # what went wrong
	say "Only a backup that was restored gets its name: what is there of before is good."
	say "Backup failed: $*. Exit code 1."
	exit 1
}

stop() {
	[ -z "$server" ] || kill -QUIT "$server" 2>/dev/null || true
	exit 143
}

# A shell acts on a signal when the command it waits for has ended, and during `wait` at once.
pause() { # seconds
	sleep "$1" &
	wait $! || true
}

# --- Step dump ---

await_database() {
	waited=0 said=
	until reason=$(psql --no-psqlrc --no-password --command="SELECT 1" 2>&1 >/dev/null); do
		reason=$(printf '%s\n' "$reason" | sed -n '1s/^psql: error: //p')
		if [ "$waited" -ge "$patience_seconds" ]; then
			say "$reason"
			fail "no database within $patience_seconds seconds"
		fi
		if [ "$reason" != "$said" ]; then
			said=$reason
			say "The database does not answer yet: I wait $((patience_seconds - waited)) s at most."
			say "  $reason"
		fi
		pause 1
		waited=$((waited + 1))
	done
}

# A demo's migration Job may have started at the same moment.
await_migration() {
	waited=0
	while [ "$waited" -lt "$migration_seconds" ] && [ "$(count_tables)" = 0 ]; do
		if [ "$waited" = 0 ]; then
			say "The database has no table yet. I give its migration $migration_seconds s."
		fi
		pause 1
		waited=$((waited + 1))
	done
	# Where there is a first table, the others come within a moment.
	[ "$waited" = 0 ] || pause 2
}

count_tables() {
	psql --no-psqlrc --no-password --tuples-only --no-align \
		--command="SELECT count(*) FROM pg_catalog.pg_tables WHERE schemaname = 'public'"
}

# One line a table, name and rows, in the order of the names.
count_rows() {
	cat <<-'SQL'
		SELECT format(
			'SELECT %L, count(*) FROM %I.%I',
			CASE schemaname WHEN 'public' THEN '' ELSE schemaname || '.' END || tablename,
			schemaname, tablename)
		FROM pg_catalog.pg_tables
		WHERE schemaname NOT IN ('pg_catalog', 'information_schema')
		ORDER BY (CASE schemaname WHEN 'public' THEN '' ELSE schemaname || '.' END || tablename)
			COLLATE "C" \gexec
	SQL
}

# What is counted is what is copied: pg_dump reads the same snapshot, as long as this one is open.
dump_and_count() {
	cat <<-'SQL'
		BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY;
		SELECT pg_export_snapshot() AS snapshot \gset
		\setenv SNAPSHOT :snapshot
		\! pg_dump --no-password --format=custom --snapshot="$SNAPSHOT" --file="$HALF"
		\if :SHELL_ERROR
		DO $$ BEGIN RAISE 'pg_dump has failed'; END $$;
		\endif
	SQL
	count_rows
	say "COMMIT;"
}

remove_left_overs() {
	# Of this Pod, if this step is run again.
	if [ -s "$workspace/half" ]; then
		rm -f "$(cat "$workspace/half")"
	fi
	# Younger ones may be another backup's that is still at work.
	old=$(find "$directory" -maxdepth 1 -name '.bookshop-*.half' -mmin +60 -print -delete | wc -l)
	[ "$old" -eq 0 ] || say "Removed what $old earlier backup(s) left that were cut short."
}

dump() {
	say "Backing up the bookshop's database, while the shop stays open."
	mkdir -p -m 775 "$directory" || fail "$directory cannot be made"
	await_database
	await_migration
	remove_left_overs
	name=bookshop-$(date -u +%Y%m%dT%H%M%SZ).dump
	half=$(mktemp "$directory/.$name.XXXXXX.half") || fail "$directory cannot be written to"
	say "$half" >"$workspace/half"
	say "$name" >"$workspace/name"
	say "Database: PostgreSQL, $PGHOST:${PGPORT:-5432}/$PGDATABASE."
	if ! dump_and_count | HALF=$half psql --no-psqlrc --no-password --quiet --no-align \
		--tuples-only --field-separator="$(printf '\t')" --set=ON_ERROR_STOP=1 \
		--set=VERBOSITY=terse >"$workspace/counts"; then
		rm -f "$half"
		fail "the database cannot be copied: see above"
	fi
	sync "$half"
	say "Copied $(total "$workspace/counts") rows into $(stat --format=%s "$half") bytes."
	say "A backup that nobody has restored is only a hope: the next step restores it."
}

total() { # file of counts
	sum=0
	while IFS="$(printf '\t')" read -r _ rows; do
		sum=$((sum + rows))
	done <"$1"
	say "$sum"
}

# --- Step restore ---

# A server of its own, which nobody but this container reaches, and nobody will miss.
start_scratch_server() {
	scratch=$workspace/server
	rm -rf "$scratch"
	initdb --pgdata="$scratch" --username=postgres --auth=trust --encoding=UTF8 --locale=C \
		--locale-provider=builtin --builtin-locale=C.UTF-8 --wal-segsize=1 --no-sync \
		--no-instructions >/dev/null || fail "no scratch server could be made"
	postgres -D "$scratch" -c listen_addresses= -c unix_socket_directories="$scratch" \
		-c fsync=off -c shared_buffers=16MB -c huge_pages=off -c jit=off -c max_connections=10 \
		-c min_wal_size=2MB -c max_wal_size=4MB -c log_checkpoints=off -c log_min_messages=fatal &
	server=$!
	# What pg_ctl looks at too: asking the server itself would leave an error in the log.
	until [ "$(sed -n '8s/ *$//p' "$scratch/postmaster.pid" 2>/dev/null)" = ready ]; do
		kill -0 "$server" 2>/dev/null || fail "the scratch server does not start"
		pause 0.1
	done
	# From here on nothing of the real database can be reached by mistake.
	unset PGPASSWORD PGPORT
	export PGHOST="$scratch" PGUSER=postgres PGDATABASE=postgres
}

stop_scratch_server() {
	# At once: it is thrown away.
	kill -QUIT "$server" 2>/dev/null || true
	wait "$server" 2>/dev/null || true
	server=
	rm -rf "$scratch"
}

say_counts() { # file of what was, file of what was restored
	tab=$(printf '\t')
	printf '  %-30s  %10s  %10s\n' table rows restored
	printf '  %.30s  %.10s  %.10s\n' "$dashes" "$dashes" "$dashes"
	join -t "$tab" -a 1 -a 2 -e 0 -o 0,1.2,2.2 "$1" "$2" | while IFS=$tab read -r name was is; do
		printf '  %-30s  %10s  %10s\n' "$name" "$was" "$is"
	done
}
dashes=------------------------------

remove_old() {
	for path in $(ls "$directory" | grep '^bookshop-.*\.dump$' | head -n "-$keep"); do
		rm -f "$directory/$path"
		say "Removed $path: the newest $keep are kept."
	done
}

restore() {
	half=$(cat "$workspace/half" 2>/dev/null) && name=$(cat "$workspace/name" 2>/dev/null) &&
		[ -f "$half" ] || fail "there is no dump here, so the step dump has to run first"
	if [ ! -s "$workspace/counts" ]; then
		rm -f "$half"
		say "There is nothing to back up: the database has no table yet. So no backup is made."
		exit 0
	fi
	say "Restoring the backup to a scratch server ..."
	start_scratch_server
	if ! pg_restore --exit-on-error --no-owner --no-privileges --dbname=postgres "$half"; then
		stop_scratch_server
		rm -f "$half"
		fail "the backup cannot be restored: see above"
	fi
	count_rows | psql --no-psqlrc --quiet --no-align --tuples-only \
		--field-separator="$(printf '\t')" --set=ON_ERROR_STOP=1 >"$workspace/restored" || true
	stop_scratch_server
	say_counts "$workspace/counts" "$workspace/restored"
	if [ "$(cat "$workspace/counts")" != "$(cat "$workspace/restored")" ]; then
		rm -f "$half"
		fail "what was restored is not what was backed up"
	fi
	mv "$half" "$directory/$name"
	sync "$directory"
	say "The backup is good. From now on it is $directory/$name."
	remove_old
	say "Backup is done: $name."
}

trap stop TERM INT
case $keep in
*[!0-9]* | "" | 0)
	say "KEEP must be a whole number, 1 or more; it is '$keep'."
	exit 2
	;;
esac
case ${1-} in
dump) dump ;;
restore) restore ;;
*)
	say "Say one step of the backup: dump, restore."
	exit 2
	;;
esac
