// @ts-check
/** Java servers, as the jars that they and their dependencies are. Where they come from is Maven's own configuration. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { place } from './place.mjs';
import { run } from './run.mjs';

/**
 * @param {string} home the folder that will hold the jars
 * @param {readonly string[]} artifacts `group:name:version`
 */
export async function mavenInstall(home, artifacts) {
  await place(home, async (workshop) => {
    writeFileSync(join(workshop, 'pom.xml'), pomOf(artifacts));
    const goal = ['dependency:copy-dependencies', '-DincludeScope=runtime', '-DoutputDirectory=made'];
    await run('mvn', ['-q', '-B', ...goal], { cwd: workshop });
  });
}

/** @param {readonly string[]} artifacts */
function pomOf(artifacts) {
  const dependencies = artifacts.map((artifact) => {
    const [group, name, version] = artifact.split(':');
    return `<dependency><groupId>${group}</groupId><artifactId>${name}</artifactId><version>${version}</version></dependency>`;
  });
  return `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion><groupId>shoal</groupId><artifactId>services</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>${dependencies.join('')}</dependencies>
</project>
`;
}
