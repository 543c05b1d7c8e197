/**
 * Policies of a RabbitMQ server that match our queues: they go before what we ask for, and AMQP says nothing of them. The
 * management plugin does, to users with its tag, by HTTP at a port of its own.
 */
import type { Finding } from '../../lib/finding.ts';

const answerMsMax = 2_000;
/** What waits longer than this for its listener was said again meanwhile. */
const msMin = 10 * 60_000;
const messagesMin = 10_000;
const bytesMin = 64 * 1024 * 1024;

interface Policy {
  name: string;
  pattern: string;
  'apply-to': string;
  definition: Readonly<Record<string, unknown>>;
}

/** `?management=URL` of the address says where the plugin is; else it is where it is by default. */
export async function policyFindings(url: URL, cluster: string): Promise<readonly Finding[]> {
  const at = managementOf(url);
  const vhost = encodeURIComponent(decodeURIComponent(url.pathname.slice(1)) || '/');
  try {
    const kinds = ['policies', 'operator-policies'];
    const policies = (await Promise.all(kinds.map((kind) => get(new URL(`api/${kind}/${vhost}`, at), url)))).flat();
    const ours = policies.filter((policy) => matches(policy, cluster));
    const found = ours.flatMap(dangersOf);
    if (found.length > 0) return found;
    return [{ level: 'good', setting: `policies ${ours.length} for these queues`, meaning: 'none takes a message away' }];
  } catch (error) {
    const meaning = `the management plugin at ${at.origin} does not tell them (${whyNot(error)}); look for drop-head, message-ttl, expires and max-length yourself`;
    const fix = '?management=http://HOST:15672 in the address, with a user who has the tag "monitoring"; or rabbitmqctl list_policies';
    return [{ level: 'warning', setting: 'policies not known', meaning, fix }];
  }
}

function managementOf(url: URL): URL {
  const named = url.searchParams.get('management');
  if (named) return new URL(named.endsWith('/') ? named : `${named}/`);
  return new URL(url.protocol === 'amqps:' ? `https://${url.hostname}:15671/` : `http://${url.hostname}:15672/`);
}

async function get(at: URL, { username, password }: URL): Promise<Policy[]> {
  const credentials = [username || 'guest', password || 'guest'].map(decodeURIComponent).join(':');
  const authorization = `Basic ${Buffer.from(credentials).toString('base64')}`;
  const response = await fetch(at, { headers: { authorization }, signal: AbortSignal.timeout(answerMsMax) });
  if (!response.ok) throw new Error(`status ${response.status}`);
  return (await response.json()) as Policy[];
}

function whyNot(error: unknown): string {
  const { message, cause } = error as Error;
  return cause instanceof Error && cause.message !== '' ? cause.message : message;
}

function matches({ pattern, 'apply-to': to }: Policy, cluster: string): boolean {
  if (to === 'exchanges' || to === 'streams') return false;
  const inboxes = ['hello', 'coordinator.1', 'worker.w.1', 'probe.p'];
  try {
    const expression = new RegExp(pattern);
    return inboxes.some((inbox) => expression.test(`shoal.${cluster}.${inbox}`));
  } catch {
    // Erlang's expressions can say more.
    return true;
  }
}

function dangersOf({ name, pattern, definition }: Policy): Finding[] {
  const fix = `rabbitmqctl clear_policy ${name}, or a pattern that leaves queues of shoal out (it is ${pattern})`;
  const small = (key: string, least: number): boolean => typeof definition[key] === 'number' && definition[key] < least;
  const found: Finding[] = [];
  const add = (key: string, level: Finding['level'], meaning: string): void => {
    found.push({ level, setting: `policy ${name} ${key} ${String(definition[key])}`, meaning, fix });
  };
  if (definition.overflow === 'drop-head') add('overflow', 'refuse', 'a full queue loses messages in silence');
  for (const key of ['message-ttl', 'expires'])
    if (small(key, msMin)) add(key, 'refuse', 'what waits is lost in silence before its listener is back');
  if (small('max-length', messagesMin)) add('max-length', 'warning', 'the queue refuses too soon: work stands still');
  if (small('max-length-bytes', bytesMin)) add('max-length-bytes', 'warning', 'the queue refuses too soon: work stands still');
  return found;
}
