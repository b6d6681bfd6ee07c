//! sigstore-rs: `v1 URL EMAIL` and `v2 URL` print the certificate and its chain in PEM; `verify CLIENT_TRUST_CONFIG
//! BUNDLE BLOB IDENTITY ISSUER` ends with 0 if the bundle is good. The token comes from SIGSTORE_ID_TOKEN.
use std::{env, error::Error, path::PathBuf};

use openidconnect::core::CoreIdToken;
use p256::ecdsa::{DerSignature, SigningKey};
use p256::elliptic_curve::Generate;
use sigstore::bundle::verify::{policy::Identity, Verifier};
use sigstore::bundle::Bundle;
use sigstore::crypto::SigningScheme;
use sigstore::fulcio::{FulcioClient, TokenProvider};
use sigstore::oauth::IdentityToken;
use sigstore::trust::sigstore::SigstoreTrustRoot;
use url::Url;
use x509_cert::builder::{Builder, RequestBuilder};
use x509_cert::der::EncodePem;
use x509_cert::name::Name;

type Done = Result<(), Box<dyn Error>>;

#[tokio::main]
async fn main() -> Done {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["v1", url, email] => v1(Url::parse(url)?, email).await,
        ["v2", url] => v2(Url::parse(url)?).await,
        ["verify", config, bundle, blob, identity, issuer] => {
            verify(config, bundle, blob, &Identity::new(identity, issuer)).await
        }
        _ => Err("unknown command".into()),
    }
}

fn provider(token: &str, challenge: &str) -> Result<TokenProvider, Box<dyn Error>> {
    let token: CoreIdToken = serde_json::from_value(token.into())?;
    Ok(TokenProvider::Static((token, challenge.to_owned())))
}

async fn v1(url: Url, email: &str) -> Done {
    let client = FulcioClient::new(url, provider(&env::var("SIGSTORE_ID_TOKEN")?, email)?);
    let (_, chain) = client.request_cert(SigningScheme::ECDSA_P256_SHA256_ASN1).await?;
    print!("{chain}");
    Ok(())
}

async fn v2(url: Url) -> Done {
    let token = env::var("SIGSTORE_ID_TOKEN")?;
    let client = FulcioClient::new(url, provider(&token, "")?);
    let key = SigningKey::generate();
    let request = RequestBuilder::new(Name::default())?.build::<_, DerSignature>(&key)?;
    let answer = client.request_cert_v2(request, &IdentityToken::try_from(token.as_str())?).await?;
    for certificate in [answer.cert].iter().chain(&answer.chain) {
        print!("{}", certificate.to_pem(Default::default())?);
    }
    Ok(())
}

async fn verify(config: &str, bundle: &str, blob: &str, signer: &Identity) -> Done {
    let root = SigstoreTrustRoot::from_client_trust_config(&PathBuf::from(config))?;
    let bundle: Bundle = serde_json::from_slice(&std::fs::read(bundle)?)?;
    let verifier = Verifier::new(Default::default(), root)?;
    verifier.verify(tokio::fs::File::open(blob).await?, bundle, signer, true).await?;
    Ok(())
}
