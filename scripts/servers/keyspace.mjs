// @ts-check
/** What a Cassandra server has to have before jobs can live there. */
import { Client } from 'cassandra-driver';

/** One copy. @param {number} port */
export async function makeKeyspace(port, name = 'shoal') {
  const client = new Client({ contactPoints: [`127.0.0.1:${port}`], localDataCenter: 'datacenter1' });
  await client.execute(`CREATE KEYSPACE ${name} WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}`);
  await client.shutdown();
}
