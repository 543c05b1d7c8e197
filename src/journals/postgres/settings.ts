/** What of a PostgreSQL server's settings matters to what it stores. Read by `current_setting`, which any user may. */
import type { Client } from 'pg';
import type { Finding } from '../../lib/finding.ts';
import type { Journal } from '../journal.ts';

const formatComment = 'shoal journal, format ';
export const format = 1;
/** A comment on the table of streams. */
export const formatText = `${formatComment}${format}`;

export interface Server {
  version: string;
  synchronousCommit: string;
  standbys: string;
  fsync: string;
  fullPageWrites: string;
  isReplica: boolean;
  /** 0: there is nothing yet. */
  format: number;
}

export async function look(client: Client, schema: string): Promise<Server> {
  const { rows } = await client.query<string[]>({
    rowMode: 'array',
    text: `SELECT current_setting('server_version'), current_setting('synchronous_commit'), current_setting('synchronous_standby_names'),
      current_setting('fsync'), current_setting('full_page_writes'), pg_is_in_recovery()::text,
      (SELECT obj_description(c.oid, 'pg_class') FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
        WHERE n.nspname = $1 AND c.relname = 'journal_streams')`,
    values: [schema],
  });
  const [version, synchronousCommit, standbys, fsync, fullPageWrites, isReplica, comment] = rows[0] as [
    string,
    string,
    string,
    string,
    string,
    string,
    string | null,
  ];
  const written = comment === null ? 0 : Number(comment.replace(formatComment, ''));
  return { version, synchronousCommit, standbys, fsync, fullPageWrites, isReplica: isReplica === 'true', format: written };
}

export function durabilityOf({ fsync, synchronousCommit, standbys }: Server): Journal['durability'] {
  if (fsync === 'off') return 'process';
  return standbys !== '' && synchronousCommit !== 'local' && synchronousCommit !== 'off' ? 'replicated' : 'host';
}

export function findings({ version, synchronousCommit, standbys, fsync, fullPageWrites, isReplica }: Server): Finding[] {
  const all: Finding[] = [{ level: 'good', setting: `server_version = ${version}`, meaning: 'PostgreSQL' }];
  if (isReplica) {
    all.push({
      level: 'refuse',
      setting: 'pg_is_in_recovery = true',
      meaning: 'it is a replica and takes no writes',
      fix: 'give the address of the primary',
    });
  }
  if (fsync === 'off') {
    all.push({
      level: 'warning',
      setting: 'fsync = off',
      meaning: 'a crash of its machine may damage or lose everything that was confirmed',
      fix: 'fsync = on in postgresql.conf',
    });
  }
  if (fullPageWrites === 'off') {
    all.push({
      level: 'warning',
      setting: 'full_page_writes = off',
      meaning: 'a crash of its machine may damage pages, unless its file system writes them whole',
      fix: 'full_page_writes = on in postgresql.conf',
    });
  }
  const names = standbys === '' ? '' : `, synchronous_standby_names = ${standbys}`;
  const setting = `synchronous_commit = ${synchronousCommit}${names}`;
  if (synchronousCommit === 'off') {
    all.push({
      level: 'warning',
      setting,
      meaning: 'a commit would be confirmed before it is on disk; the sessions of the journal switch it on for themselves',
      fix: 'ALTER ROLE … RESET synchronous_commit, so that everybody sees the same',
    });
  } else {
    const isReplicated = durabilityOf({ fsync: 'on', synchronousCommit, standbys } as Server) === 'replicated';
    all.push({
      level: 'good',
      setting,
      meaning: isReplicated ? 'what is confirmed is on a standby, too' : 'what is confirmed is on its disk',
    });
  }
  return all;
}
