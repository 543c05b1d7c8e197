// @ts-check
/** Redis Cluster: masters that share the slots, each with a replica that takes over. */
import { setTimeout as later } from 'node:timers/promises';
import { exchange } from './exchange.mjs';
import { startRedis } from './redis.mjs';

const slotCount = 16_384;
const agreeMsMax = 60_000;

/**
 * @typedef {import('./redis.mjs').Redis} Redis
 * @typedef {object} RedisCluster
 * @property {string} url
 * @property {readonly Redis[]} nodes masters first
 * @property {(key: string) => Promise<Redis>} masterOf the one that serves it now
 * @property {(master: Redis) => Redis} replicaOf at first
 * @property {() => Promise<void>} stop
 */

/**
 * @param {number} masterCount
 * @returns {Promise<RedisCluster>}
 */
export async function startRedisCluster(masterCount) {
  const nodes = await Promise.all(Array.from({ length: 2 * masterCount }, () => startRedis({ ofCluster: true })));
  const cluster = {
    url: `redis://${nodes.map(({ port }) => `127.0.0.1:${port}`).join(',')}`,
    nodes,
    /** @param {string} key */
    async masterOf(key) {
      for (const node of nodes) {
        // A node that is not there has no answer; others send to the one that serves it.
        const answer = await ask(node, `EXISTS ${key}`).catch(() => '');
        const owner = answer.startsWith(':') ? node : nodes.find(({ port }) => answer.includes(`127.0.0.1:${port}`));
        if (owner) return owner;
      }
      throw new Error(`no node serves ${key}`);
    },
    /** @param {Redis} master */
    replicaOf: (master) => /** @type {Redis} */ (nodes[nodes.indexOf(master) + masterCount]),
    stop: async () => void (await Promise.all(nodes.map((node) => node.stop()))),
  };
  try {
    await join(nodes.slice(0, masterCount), nodes.slice(masterCount));
  } catch (error) {
    await cluster.stop();
    throw error;
  }
  return cluster;
}

/**
 * @param {readonly Redis[]} masters
 * @param {readonly Redis[]} replicas
 */
async function join(masters, replicas) {
  const [first] = /** @type {[Redis]} */ (masters);
  const all = [...masters, ...replicas];
  const share = Math.ceil(slotCount / masters.length);
  for (const [index, master] of masters.entries()) {
    await ask(master, `CLUSTER ADDSLOTSRANGE ${index * share} ${Math.min(slotCount, (index + 1) * share) - 1}`);
  }
  for (const [index, { port, clusterPort }] of all.entries()) {
    await ask(first, `CLUSTER MEET 127.0.0.1 ${port} ${clusterPort}`);
    await ask(/** @type {Redis} */ (all[index]), `CLUSTER SET-CONFIG-EPOCH ${index + 1}`).catch(() => '');
  }
  const isKnown = `cluster_known_nodes:${all.length}`;
  for (const node of all) await until(node, 'CLUSTER INFO', (answer) => answer.includes(isKnown));
  for (const [index, replica] of replicas.entries()) {
    const id = (await ask(/** @type {Redis} */ (masters[index]), 'CLUSTER MYID')).split('\r\n')[1];
    await until(replica, `CLUSTER REPLICATE ${id}`, (answer) => answer.startsWith('+OK'));
  }
  for (const node of all) await until(node, 'CLUSTER INFO', (answer) => answer.includes('cluster_state:ok'));
  for (const replica of replicas) await until(replica, 'INFO replication', (answer) => answer.includes('master_link_status:up'));
}

/**
 * @param {Redis} node
 * @param {string} command
 * @param {(answer: string) => boolean} isIt
 */
async function until(node, command, isIt) {
  const deadlineMs = performance.now() + agreeMsMax;
  for (;;) {
    const answer = await ask(node, command);
    if (isIt(answer)) return;
    if (performance.now() > deadlineMs) throw new Error(`${command} still says ${answer}`);
    await later(50);
  }
}

/**
 * @param {Redis} node
 * @param {string} command
 */
const ask = async ({ port }, command) => `${await exchange(port, `${command}\r\n`, isWhole)}`;

/** @param {Buffer} answer one line, or a bulk string with its length before it */
function isWhole(answer) {
  const [head = '', ...rest] = `${answer}`.split('\r\n');
  if (rest.length === 0) return false;
  return !head.startsWith('$') || answer.length >= head.length + 2 + Number(head.slice(1)) + 2;
}
