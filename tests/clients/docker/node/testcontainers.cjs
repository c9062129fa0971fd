// Testcontainers, as tests of applications use it: services with ports, which are waited for.
// `tests/clients/docker/node.rs` runs it, with DOCKER_HOST set.

const assert = require('node:assert');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { GenericContainer, Network, Wait } = require('testcontainers');

const SERVE = 'mkdir /www; cp /page /www/page; echo ready; exec httpd -f -p 8080 -h /www';

async function built() {
  const context = fs.mkdtempSync(path.join(os.tmpdir(), 'testcontainers-'));
  try {
    fs.writeFileSync(path.join(context, 'Dockerfile'), 'FROM busybox\nARG WORD\nRUN echo $WORD > /word\nCMD ["sh", "-c", "cat /word; sleep 1000"]\n');
    const recipe = GenericContainer.fromDockerfile(context).withBuildArgs({ WORD: 'built' }).withBuildkit();
    const image = await recipe.build('of-testcontainers:1', { deleteOnExit: false });
    return await image.withWaitStrategy(Wait.forLogMessage('built')).start();
  } finally {
    fs.rmSync(context, { recursive: true });
  }
}

async function main() {
  const network = await new Network().start();
  const server = await new GenericContainer('busybox')
    .withCommand(['sh', '-c', SERVE])
    .withCopyContentToContainer([{ content: 'a page', target: '/page' }])
    .withNetwork(network)
    .withNetworkAliases('web')
    .withExposedPorts(8080)
    .withHealthCheck({ test: ['CMD', 'test', '-e', '/www/page'], interval: 200, timeout: 1000, retries: 50, startPeriod: 0 })
    .withWaitStrategy(Wait.forAll([
      Wait.forListeningPorts(),
      Wait.forLogMessage('ready'),
      Wait.forHealthCheck(),
      Wait.forHttp('/page', 8080),
    ]))
    .start();
  const page = await fetch(`http://${server.getHost()}:${server.getMappedPort(8080)}/page`);
  assert.strictEqual(await page.text(), 'a page');

  const client = await new GenericContainer('busybox').withCommand(['sleep', '1000']).withNetwork(network).start();
  const asked = await client.exec(['wget', '-q', '-O', '-', 'http://web:8080/page']);
  assert.deepStrictEqual([asked.stdout, asked.exitCode], ['a page', 0]);
  const failed = await client.exec(['sh', '-c', 'pwd; echo $A >&2; exit 3'], { workingDir: '/tmp', env: { A: 'b' } });
  assert.deepStrictEqual([failed.stdout, failed.stderr, failed.exitCode], ['/tmp\n', 'b\n', 3]);

  const recipe = await built();
  await Promise.all([server, client, recipe].map((container) => container.stop()));
  await network.stop();
}

main();
