// Signs with certificates, as Sigstore's services have it, with Sigstore's own packages: `@sigstore/mock` is the services, without
// a network, and `@sigstore/sign` the client. Writes into the directory that it is given, which has the files of keyed.py.
//
// The clock of a service is the machine's where none is given.

const { readFileSync, writeFileSync } = require('node:fs');
const { createHash, generateKeyPairSync, sign } = require('node:crypto');
const { join } = require('node:path');
const nock = require('nock');
const mock = require('@sigstore/mock');
const { DSSEBundleBuilder, FulcioSigner, MessageSignatureBundleBuilder, RekorWitness, TSAWitness } = require('@sigstore/sign');
const { bundleToJSON } = require('@sigstore/bundle');
const { HashAlgorithm, PublicKeyDetails, TrustedRoot } = require('@sigstore/protobuf-specs');

const out = process.argv[2];
const read = (name) => readFileSync(join(out, name));
const write = (name, value) => writeFileSync(join(out, name), typeof value === 'string' ? value : JSON.stringify(value));
const url = (service) => `https://${service}.example`;
const HOUR = 3_600_000;

nock.disableNetConnect();

const CLAIMS = {
  iss: 'https://token.actions.githubusercontent.com',
  aud: 'sigstore',
  sub: 'https://github.com/acme/web/.github/workflows/build.yml@refs/heads/main',
  repository: 'acme/web',
  sha: '0123456789abcdef0123456789abcdef01234567',
  ref: 'refs/heads/main',
  job_workflow_ref: 'acme/shared/.github/workflows/image.yml@refs/tags/v1',
  run_id: '42',
  run_attempt: '1',
};

// The services of one trust root.
async function world({ ca: caClock, tlog: tlogClock, ctLog = true } = {}) {
  const pair = () => generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const ct = ctLog ? await mock.initializeCTLog(pair(), caClock) : undefined;
  const ca = await mock.initializeCA(pair(), ct, caClock);
  const tlog = await mock.initializeTLog(url('rekor'), pair(), tlogClock);
  const tsa = await mock.initializeTSA(pair());
  // In whole seconds, as RFC 3161 has it where nothing else is agreed; not every reader knows fractions.
  tsa.getCurrentTime = () => new Date(Math.floor(Date.now() / 1000) * 1000);
  return { ct, ca, tlog, tsa };
}

function trustedRoot({ ct, ca, tlog, tsa }) {
  const start = new Date('2020-01-01T00:00:00Z');
  const log = (service, key) => ({
    baseUrl: url(service),
    hashAlgorithm: HashAlgorithm.SHA2_256,
    publicKey: { rawBytes: key, keyDetails: PublicKeyDetails.PKIX_ECDSA_P256_SHA_256, validFor: { start } },
    logId: { keyId: createHash('sha256').update(key).digest() },
    operator: '',
  });
  const authority = (service, ...certificates) => ({
    subject: { organization: 'sigstore.mock', commonName: service },
    uri: url(service),
    certChain: { certificates: certificates.map((rawBytes) => ({ rawBytes })) },
    validFor: { start },
    operator: '',
  });
  return TrustedRoot.toJSON({
    mediaType: 'application/vnd.dev.sigstore.trustedroot+json;version=0.1',
    tlogs: tlog ? [log('rekor', tlog.publicKey)] : [],
    certificateAuthorities: [authority('fulcio', ca.rootCertificate)],
    ctlogs: ct ? [log('ctfe', ct.publicKey)] : [],
    timestampAuthorities: tsa ? [authority('timestamp', tsa.intCertificate, tsa.rootCertificate)] : [],
  });
}

// The next request to a service is answered by it.
function serve(service, handler) {
  nock(url(service))
    .post(handler.path)
    .reply(async (_, body) => {
      const answer = await handler.fn(typeof body === 'string' ? body : JSON.stringify(body));
      return [answer.statusCode, answer.response, { 'Content-Type': answer.contentType || 'text/plain' }];
    });
}

async function signed(services, { claims = CLAIMS, entry = 'intoto', message = false, log = true, stamp = false, chain = false }) {
  const token = ['{"alg":"none"}', JSON.stringify(claims), ''].map((part) => Buffer.from(part).toString('base64url')).join('.');
  const witnesses = [];
  serve('fulcio', mock.fulcioHandler(services.ca));
  if (log) {
    serve('rekor', mock.rekorHandler(services.tlog));
    witnesses.push(new RekorWitness({ rekorBaseURL: url('rekor'), entryType: entry }));
  }
  if (stamp) {
    serve('timestamp', mock.tsaHandler(services.tsa));
    witnesses.push(new TSAWitness({ tsaBaseURL: url('timestamp') }));
  }
  const signer = new FulcioSigner({ fulcioBaseURL: url('fulcio'), identityProvider: { getToken: async () => token } });
  const Builder = message ? MessageSignatureBundleBuilder : DSSEBundleBuilder;
  const builder = new Builder({ signer, witnesses, certificateChain: chain });
  const artifact = message ? { data: message } : { data: read('statement.json'), type: 'application/vnd.in-toto+json' };
  return bundleToJSON(await builder.create(artifact));
}

// A bundle by a key, with a log entry.
async function keyed(services) {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const pem = publicKey.export({ format: 'pem', type: 'spki' });
  const signer = {
    sign: async (data) => ({ key: { $case: 'publicKey', publicKey: pem, hint: 'hint' }, signature: sign('sha256', data, privateKey) }),
  };
  serve('rekor', mock.rekorHandler(services.tlog));
  const witnesses = [new RekorWitness({ rekorBaseURL: url('rekor'), entryType: 'intoto' })];
  const artifact = { data: read('statement.json'), type: 'application/vnd.in-toto+json' };
  write('logged.pub', pem);
  write('logged.bundle.json', bundleToJSON(await new DSSEBundleBuilder({ signer, witnesses }).create(artifact)));
}

// What cosign 2 would put beside a signature of its payload.
function annotations({ verificationMaterial, messageSignature }) {
  const pem = (der) => `-----BEGIN CERTIFICATE-----\n${der.match(/.{1,64}/g).join('\n')}\n-----END CERTIFICATE-----\n`;
  const [entry] = verificationMaterial.tlogEntries;
  const payload = {
    body: entry.canonicalizedBody,
    integratedTime: Number(entry.integratedTime),
    logIndex: Number(entry.logIndex),
    logID: Buffer.from(entry.logId.keyId, 'base64').toString('hex'),
  };
  return {
    signature: messageSignature.signature,
    certificate: pem(verificationMaterial.x509CertificateChain.certificates[0].rawBytes),
    bundle: JSON.stringify({ SignedEntryTimestamp: entry.inclusionPromise.signedEntryTimestamp, Payload: payload }),
  };
}

async function main() {
  const one = await world();
  write('root.json', trustedRoot(one));
  write('other-root.json', trustedRoot(await world()));
  write('keyless.json', await signed(one, {}));
  write('keyless.stamped.json', await signed(one, { stamp: true }));
  write('keyless.chain.json', await signed(one, { chain: true }));
  write('keyless.message.json', await signed(one, { message: read('manifest.json') }));
  write('keyless.annotations.json', annotations(await signed(one, { message: read('simple.json') })));
  write('keyless.person.json', await signed(one, { claims: { iss: 'https://accounts.example', aud: 'sigstore', sub: 'ana@acme.dev' } }));
  await keyed(one);
  // Entered into the log an hour after the certificate was issued, which is valid for ten minutes.
  const late = await world({ ca: new Date(Date.now() - HOUR) });
  write('late-root.json', trustedRoot(late));
  write('keyless.late.json', await signed(late, {}));
  // Entered an hour from now.
  const early = await world({ tlog: new Date(Date.now() + HOUR) });
  write('early-root.json', trustedRoot(early));
  write('keyless.early.json', await signed(early, {}));
  // As GitHub signs for private repositories: no logs, a time stamp.
  const unlogged = await world({ ctLog: false });
  write('unlogged-root.json', trustedRoot({ ...unlogged, tlog: undefined }));
  write('keyless.unlogged.json', await signed(unlogged, { log: false, stamp: true }));
  // Such certificates under a root with logs.
  write('unlogged-strict-root.json', trustedRoot({ ...unlogged, ct: one.ct }));
}

main();
