/** What each role may say to a coordinator: one table over all words of a client, complete at compile time. */
import type { FromClient } from '../core/messages.ts';
import type { Role } from '../lib/tokens.ts';

/** The least that is needed; each level may also do what the ones before it may. */
const levels = ['read-only', 'client', 'client+bundles', 'admin'] as const;
type Level = (typeof levels)[number];

const needed: Record<FromClient['kind'], Level> = {
  query: 'read-only',
  wait: 'read-only',
  find: 'read-only',
  read: 'read-only',
  readCredit: 'read-only',
  unread: 'read-only',
  readLogs: 'read-only',
  deadLetters: 'read-only',
  listJobs: 'read-only',
  listTasks: 'read-only',
  getTask: 'read-only',
  listWorkers: 'read-only',
  listQueues: 'read-only',
  status: 'read-only',
  explain: 'read-only',
  hasBundle: 'read-only',
  submit: 'client',
  inputs: 'client',
  seal: 'client',
  cancel: 'client',
  replay: 'client',
  deleteJob: 'client',
  putBundle: 'client+bundles',
  purge: 'admin',
  setQueue: 'admin',
  drainWorker: 'admin',
};

const kinds = new Map<string, Level>(Object.entries(needed));

/** Workers have a line of their own kind and none of these. */
export const clientRoles: readonly Role[] = levels;

export function isKnownKind(kind: string): kind is FromClient['kind'] {
  return kinds.has(kind);
}

export function mayDo(role: Role, kind: FromClient['kind']): boolean {
  return (levels as readonly Role[]).indexOf(role) >= levels.indexOf(needed[kind]);
}
