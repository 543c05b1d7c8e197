// @ts-check
/**
 * Import directions: each room may import from the rooms that its line names, and from itself.
 *
 *   lib <- core <- wire <- codecs, journals, brokers, elections <- tasks <- coordinator, worker, client
 *       <- api <- open.ts <- index.ts <- cli
 *
 * `open.ts` alone picks adapters, so only it may import them; everybody else knows a plug by its port. `cli` comes
 * last: it is a user of the public door that may also open what index.ts does not show. The coordinator's line leaves
 * out codecs and tasks, because it moves bytes and never decodes an input or a result.
 *
 * Client libraries are imported by the files that adapt them and by nobody else. Tests cross rooms freely, but what is
 * no test imports none of them; a suite is held to its room's directions, since adapters elsewhere run it.
 */
import { isBuiltin } from 'node:module';
import { isGenerated, isTest } from './source.mjs';

/** @typedef {import('./source.mjs').Problem} Problem */

const plugs = ['codecs', 'journals', 'brokers', 'elections'];
/** They put a process together. */
const pickers = [
  'open.ts',
  'journal-of.ts',
  'broker-of.ts',
  'election-of.ts',
  'start-coordinator.ts',
  'start-worker.ts',
  'worker-child.ts',
];
const below = ['lib', 'core', 'wire', ...plugs, 'tasks'];

/** @type {Record<string, readonly string[]>} */
const mayImport = {
  lib: [],
  core: ['lib'],
  wire: ['lib', 'core'],
  codecs: ['lib', 'core', 'wire'],
  journals: ['lib', 'core', 'wire'],
  brokers: ['lib', 'core', 'wire'],
  elections: ['lib', 'core', 'wire'],
  tasks: ['lib', 'core', 'wire', 'codecs'],
  coordinator: ['lib', 'core', 'wire', 'journals', 'brokers', 'elections'],
  worker: below,
  client: below,
  api: [...below, 'coordinator', 'worker', 'client'],
  'journal-of.ts': below,
  'broker-of.ts': below,
  'election-of.ts': below,
  'open.ts': [...below, 'coordinator', 'worker', 'client', 'api', ...pickers],
  'start-coordinator.ts': [...below, 'coordinator', 'api', ...pickers],
  'start-worker.ts': [...below, 'worker', 'client', ...pickers],
  'worker-child.ts': [...below, 'worker', ...pickers],
  'index.ts': [...below, 'coordinator', 'worker', 'client', 'api', ...pickers],
  cli: [...below, 'coordinator', 'worker', 'client', 'api', ...pickers, 'index.ts'],
};

/** Codecs are no adapters: client and worker both need all of them, and they reach no engine. */
const ports = new Set(['src/journals/journal.ts', 'src/brokers/broker.ts', 'src/brokers/post.ts', 'src/elections/election.ts']);
const adapterRooms = new Set(['journals', 'brokers', 'elections']);
const picksAdapters = new Set([...pickers, 'journals', 'brokers', 'elections']);

/** Who may import a package: paths that begin so. */
/** @type {Record<string, readonly string[]>} */
const packageHomes = {
  '@bufbuild/protobuf': ['src/codecs/protobuf.ts'],
  '@nats-io/jetstream': ['src/brokers/nats'],
  '@nats-io/transport-node': ['src/brokers/nats'],
  '@platformatic/kafka': ['src/brokers/kafka'],
  '@redis/client': ['src/lib/redis.ts', 'src/elections/redis'],
  amqplib: ['src/brokers/rabbitmq'],
  'cassandra-driver': ['src/journals/cassandra'],
  commander: ['src/cli/'],
  esbuild: ['src/cli/'],
  kafkajs: ['src/brokers/kafka'],
  mongodb: ['src/journals/mongodb.ts'],
  'node-zookeeper-client': ['src/elections/zookeeper.ts'],
  pg: ['src/journals/postgres', 'src/elections/postgres.ts'],
  ws: ['src/wire/', 'src/brokers/ws/', 'src/api/', 'src/client/remote/'],
};
const testPackages = new Set(['vitest', 'fast-check']);

/** @param {string} path */
function roomOf(path) {
  return path.split('/')[1] ?? '';
}

/**
 * @param {readonly import('./source.mjs').Source[]} sources
 * @returns {Problem[]}
 */
export function checkDirections(sources) {
  /** @type {Problem[]} */
  const problems = [];
  for (const source of sources) {
    if (!source.path.startsWith('src/') || source.path.endsWith('.test.ts')) continue;
    const room = roomOf(source.path);
    const allowed = mayImport[room];
    /** @param {number} line @param {string} message */
    const report = (line, message) => void problems.push({ path: source.path, line, rule: 'rooms', message });
    if (!allowed) {
      report(1, `src/${room} is no room; the rooms and who may import whom are in scripts/house/rooms.mjs`);
      continue;
    }
    for (const { specifier, path, line } of source.imports) {
      if (path === undefined) {
        const complaint = checkPackage(source.path, room, specifier);
        if (complaint) report(line, complaint);
      } else if (isTest(path) && !isTest(source.path)) {
        report(line, `what is no test imports the test ${path}`);
      } else if (!path.startsWith('src/')) {
        report(line, `${specifier} leaves src/`);
      } else {
        const target = roomOf(path);
        if (target !== room && !allowed.includes(target)) report(line, `${room} may not import ${target} (${specifier})`);
        else if (target !== room && adapterRooms.has(target) && !ports.has(path) && !picksAdapters.has(room) && !isTest(source.path)) {
          report(line, `${room} may know ${target} by the port only, ${path} is an adapter: open.ts picks those`);
        }
      }
    }
  }
  return problems;
}

/**
 * @param {string} importer
 * @param {string} room
 * @param {string} specifier
 */
function checkPackage(importer, room, specifier) {
  if (isBuiltin(specifier)) return room === 'core' && !isTest(importer) ? `core imports no Node module (${specifier})` : undefined;
  const name = specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/');
  if (isTest(importer) && testPackages.has(name)) return undefined;
  const homes = packageHomes[name];
  // Generated messages come with the protobuf codec's own library.
  if (isGenerated(importer) && name === '@bufbuild/protobuf') return undefined;
  if (!homes) return `${name} has no home: say in scripts/house/rooms.mjs which file adapts it`;
  return homes.some((home) => importer.startsWith(home)) ? undefined : `only ${homes.join(', ')} imports ${name}`;
}

/**
 * Cycles of what is loaded, among the files of src/. Neighbours in a room may know each other's types: those are erased,
 * and between rooms the directions forbid them too.
 * @param {readonly import('./source.mjs').Source[]} sources
 * @returns {Problem[]}
 */
export function checkCycles(sources) {
  const files = new Map(sources.filter(({ path }) => path.startsWith('src/')).map((source) => [source.path, source]));
  /** @type {Problem[]} */
  const problems = [];
  /** @type {Set<string>} */
  const finished = new Set();
  /** @type {string[]} */
  const trail = [];
  /** @param {string} path */
  const walk = (path) => {
    const source = files.get(path);
    if (!source || finished.has(path)) return;
    trail.push(path);
    for (const { path: target, line, erased } of source.imports) {
      if (!target || target === path || erased) continue;
      const from = trail.indexOf(target);
      if (from >= 0) problems.push({ path, line, rule: 'cycles', message: [...trail.slice(from), target].join(' -> ') });
      else walk(target);
    }
    trail.pop();
    finished.add(path);
  };
  for (const path of files.keys()) walk(path);
  return problems;
}
