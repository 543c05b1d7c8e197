/** Brokers by their addresses. Adapters are loaded when they are asked for, and their client libraries with them. */
import type { Broker, BrokerPlace } from './brokers/broker.ts';
import type { CarriedBroker } from './brokers/carried/carried.ts';
import type { Finding, OpenCarrier } from './brokers/carrier.ts';
import { dialWsBroker } from './brokers/ws/client.ts';
import { ShoalError } from './lib/errors.ts';
import { Secret } from './lib/secret.ts';
import { parseServerUrl, shownUrl } from './lib/server-url.ts';
import { speaksTls } from './lib/speaks-tls.ts';
import { tokenFor } from './lib/tokens.ts';

const redis = async (): Promise<OpenCarrier> => (await import('./brokers/redis.ts')).openRedis;
const nats = async (): Promise<OpenCarrier> => (await import('./brokers/nats.ts')).openNats;
const rabbitmq = async (): Promise<OpenCarrier> => (await import('./brokers/rabbitmq.ts')).openRabbitmq;

interface Adapter {
  load: () => Promise<OpenCarrier>;
  /** What its address looks like. */
  form: string;
  /** Its settings, if it has any. */
  query?: readonly string[];
  /** Where it listens by default, and how an address says that it is to be encrypted; where the server does not say so itself. */
  tls?: { port: number; isAsked: (url: URL) => boolean; plain: string; encrypted: string };
}

const redisTls = { port: 6379, isAsked: ({ protocol }: URL) => protocol === 'rediss:', plain: 'redis://', encrypted: 'rediss://' };
const rabbitmqTls = { port: 5672, isAsked: ({ protocol }: URL) => protocol === 'amqps:', plain: 'amqp://', encrypted: 'amqps://' };
const kafkaTls = {
  port: 9092,
  isAsked: ({ searchParams }: URL) => searchParams.get('tls') === 'true' || searchParams.has('ca'),
  plain: 'kafka:// without ?tls= and ?ca=',
  encrypted: 'kafka://…/?tls=true',
};
const hosts = '[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]…]';

const adapters: Readonly<Record<string, Adapter>> = {
  'redis:': { load: redis, form: `redis://${hosts}[/DATABASE]`, tls: redisTls },
  'rediss:': { load: redis, form: `rediss://${hosts}[/DATABASE]`, tls: redisTls },
  'redis+sentinel:': { load: redis, form: `redis+sentinel://${hosts}[/MASTER][?db=DATABASE]`, query: ['db'] },
  'kafka:': {
    load: async () => (await import('./brokers/kafka.ts')).openKafka,
    form: `kafka://${hosts}[/?tls=true&ca=FILE&sasl=…&partitions=…]`,
    query: ['tls', 'ca', 'sasl', 'partitions'],
    tls: kafkaTls,
  },
  'nats:': { load: nats, form: `nats://${hosts}` },
  // As NATS itself names it.
  'tls:': { load: nats, form: `tls://${hosts}` },
  'amqp:': { load: rabbitmq, form: `amqp://${hosts}[/VHOST][?management=URL]`, query: ['management'], tls: rabbitmqTls },
  'amqps:': { load: rabbitmq, form: `amqps://${hosts}[/VHOST][?management=URL]`, query: ['management'], tls: rabbitmqTls },
};

export interface BrokerOpening {
  /** Keeps trying if nobody is there at first, rather than rejecting. A refusal rejects in any case. */
  patient?: boolean;
  /** One line for the log of this process. */
  onWarning?: (line: string) => void;
}

/** A worker's end. */
export function openBroker(place: BrokerPlace, opening: BrokerOpening = {}): Promise<Broker> {
  if (place.kind === 'server') return openServerBroker(place, opening);
  const { address, token } = place;
  return dialWsBroker({ address, ...opening, token: () => tokenFor(address, token) });
}

type ServerPlace = Extract<BrokerPlace, { kind: 'server' }>;

/** Either end: all are alike to a message system. */
export async function openServerBroker({ url: text, cluster, secret }: ServerPlace, opening: BrokerOpening = {}): Promise<CarriedBroker> {
  const { adapter, ...place } = addressOf(text);
  const [open, { openCarried }] = await Promise.all([adapter.load(), import('./brokers/carried/carried.ts')]);
  return openCarried({ ...place, open, cluster, ...opening, ...(secret !== undefined && { secret: new Secret(secret) }) }).catch(
    async (error: unknown) => {
      throw await aboutTls(error, place.url, adapter);
    },
  );
}

/** What there is to say about a server's settings, whether it could be used or not. */
export async function inspectServer({ url: text, cluster }: ServerPlace): Promise<readonly Finding[]> {
  const { adapter, ...place } = addressOf(text);
  const open = await adapter.load();
  try {
    const carrier = await open({ ...place, cluster, onLost: () => undefined, onWarning: () => undefined });
    try {
      return [...(await carrier.inspect()), ...((await carrier.audit?.()) ?? [])];
    } finally {
      await carrier.close();
    }
  } catch (error) {
    const { unreachable } = await import('./brokers/carried/words.ts');
    throw await aboutTls(unreachable(error, place.url, place.otherHosts), place.url, adapter);
  }
}

/** SH1306 */
function addressOf(text: string): { url: URL; otherHosts: string[]; adapter: Adapter } {
  const [, scheme = ''] = /^([a-z][a-z0-9+]*:)/.exec(text) ?? [];
  const adapter = adapters[scheme];
  if (!adapter) {
    const schemes = Object.keys(adapters).map((each) => `${each}//`);
    throw new ShoalError('SH1306', `"${shownUrl(text)}" is no broker that shoal knows`, {
      hint: `use ws: (the coordinator's own port), or a URL that begins with ${schemes.join(', ')}`,
    });
  }
  const parsed = parseServerUrl(text);
  const fault = 'fault' in parsed ? parsed.fault : faultOf(parsed.url, adapter);
  if (fault !== undefined || 'fault' in parsed) {
    throw new ShoalError('SH1306', `the address of the broker "${shownUrl(text)}" makes no sense: ${fault}`, { hint: adapter.form });
  }
  return { ...parsed, adapter };
}

function faultOf({ protocol, pathname, searchParams }: URL, { query = [] }: Adapter): string | undefined {
  for (const name of searchParams.keys()) if (!query.includes(name)) return `it knows no ?${name}=`;
  const management = searchParams.get('management');
  if (management !== null && !/^https?:\/\/[^/]/.test(management)) return '?management= is an address like http://HOST:15672';
  const database = protocol === 'redis+sentinel:' ? searchParams.get('db') : pathname.slice(1);
  if (protocol.startsWith('redis') && database && !/^\d+$/.test(database)) return `"${database}" is no number of a database`;
  if ((protocol === 'nats:' || protocol === 'tls:') && pathname.length > 1) return 'it ends with the host: NATS has no paths';
  return undefined;
}

/** A server that speaks TLS where none is asked for, or the other way round, seldom says so. */
async function aboutTls(error: unknown, url: URL, { tls }: Adapter): Promise<unknown> {
  if (!tls || !(error instanceof ShoalError) || error.code !== 'SH3103') return error;
  const isAsked = tls.isAsked(url);
  const isSpoken = await speaksTls(url.hostname.replace(/^\[|\]$/g, ''), Number(url.port || tls.port));
  if (isSpoken === undefined || isSpoken === isAsked) return error;
  return new ShoalError('SH3103', error.message, {
    why: isSpoken ? 'whoever listens there speaks TLS' : 'whoever listens there does not speak TLS',
    hint: `${isSpoken ? tls.encrypted : tls.plain}, or another port`,
    cause: error,
  });
}

const clusterName = /^[a-z0-9-]{1,64}$/;
const secretCharactersMin = 16;

/** `ws:` has no place of its own: it is the coordinator's port. SH1306, SH1307, SH1308. */
export function serverPlace(broker: string, cluster = 'shoal', secret?: string): ServerPlace | undefined {
  if (!clusterName.test(cluster)) {
    throw new ShoalError('SH1308', `"${cluster}" is no name of a cluster`, { hint: 'up to 64 of a-z, 0-9 and -' });
  }
  if (broker === 'ws:') return undefined;
  addressOf(broker);
  if (secret !== undefined && secret.length < secretCharactersMin) {
    throw new ShoalError('SH1307', 'the cluster secret is too short to be safe', {
      hint: `take ${secretCharactersMin} random characters or more: openssl rand -hex 32`,
    });
  }
  return { kind: 'server', url: broker, cluster, secret };
}
