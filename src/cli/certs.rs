//! `atoll certs`: makes the cluster's authority and the certificates of its nodes, as files.

use std::path::PathBuf;
use std::time::SystemTime;

use clap::{Args, Subcommand};

use crate::model::ids::{ClusterName, NodeId, RegionId};
use crate::transport::certificates::{
    CertificateError, CertificateFolder, Overwrite, Validity, create_authority,
};

/// Make the certificates that the nodes of a cluster trust each other by.
#[derive(Debug, Subcommand)]
pub enum CertsCommand {
    /// Create the authority of a new cluster: ca.pem, which every node needs, and ca.key, which stays with you
    Init(InitArgs),
    /// Issue the certificate of one node: NODE.pem and NODE.key
    Issue(IssueArgs),
}

/// Arguments of `atoll certs init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Name of the cluster, as in regions.toml
    #[arg(long, value_name = "NAME")]
    cluster: ClusterName,
    /// Folder to write to; it is created if missing
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Days until the authority expires, and every certificate with it
    #[arg(long, value_name = "DAYS", default_value_t = 3650)]
    days: u32,
    /// Replace an authority that is there; every node then needs a new certificate
    #[arg(long)]
    force: bool,
}

/// Arguments of `atoll certs issue`.
#[derive(Debug, Args)]
pub struct IssueArgs {
    /// Region of the node, as in regions.toml
    #[arg(long, value_name = "REGION")]
    region: RegionId,
    /// The node, as in regions.toml
    #[arg(long, value_name = "NODE")]
    node: NodeId,
    /// Folder with ca.pem and ca.key, made by `atoll certs init`
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Days until the certificate expires; never later than the authority
    #[arg(long, value_name = "DAYS", default_value_t = 365)]
    days: u32,
    /// Replace a certificate that is there, to renew it
    #[arg(long)]
    force: bool,
}

/// Why certificates could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CertsError {
    /// What is wrong, and what to do.
    #[error(transparent)]
    Certificates(#[from] CertificateError),
    /// The authority itself has expired, so whatever it issued would be refused.
    #[error(
        "the authority in {path} expired at {expired}: create another with `{command}`, and issue the certificates of all nodes anew",
        path = .path.display()
    )]
    AuthorityExpired {
        /// Its certificate.
        path: PathBuf,
        /// When, as RFC 3339.
        expired: String,
        /// The command that creates another.
        command: String,
    },
}

impl CertsCommand {
    /// Does it and prints what was written and what comes next.
    ///
    /// # Errors
    /// When a file exists already, is missing, or cannot be written.
    pub fn run(self) -> Result<(), CertsError> {
        let now = SystemTime::now();
        let text = match self {
            Self::Init(args) => init(&args, now)?,
            Self::Issue(args) => issue(&args, now)?,
        };
        print!("{text}");
        Ok(())
    }
}

fn init(args: &InitArgs, now: SystemTime) -> Result<String, CertsError> {
    let folder = CertificateFolder::new(&args.dir);
    let pair = create_authority(args.cluster, Validity::days(now, args.days)?)?;
    folder.write_authority(&pair, overwrite(args.force))?;
    Ok(format!(
        "wrote {certificate}: the certificate of the authority of cluster {cluster}, valid until {expires}; every node needs it\n\
         wrote {key}: its private key; whoever has it can join the cluster, so keep it off the nodes\n\
         next, for each node: atoll certs issue --region REGION --node NODE --dir {folder}\n",
        certificate = folder.authority_certificate().display(),
        key = folder.authority_key().display(),
        folder = folder.path().display(),
        cluster = args.cluster,
        expires = date(pair.expires),
    ))
}

fn issue(args: &IssueArgs, now: SystemTime) -> Result<String, CertsError> {
    let folder = CertificateFolder::new(&args.dir);
    let validity = Validity::days(now, args.days)?;
    let authority = folder.load_authority()?;
    if authority.expires() < now {
        return Err(CertsError::AuthorityExpired {
            path: folder.authority_certificate(),
            expired: date(authority.expires()),
            command: format!("{} --force", folder.init_command(Some(authority.cluster()))),
        });
    }
    let pair = authority.issue(args.region, args.node, validity)?;
    folder.write_node(args.node, &pair, overwrite(args.force))?;
    let files = folder.node(args.node);
    Ok(format!(
        "wrote {certificate}: the certificate of node {node} in region {region} of cluster {cluster}, valid until {expires}\n\
         wrote {key}: its private key; only this node may have it\n\
         next: copy {authority}, {certificate} and {key} to the node, then start it there: atoll serve --config regions.toml --region {region} --node {node} --data DIR\n",
        authority = files.authority.display(),
        certificate = files.certificate.display(),
        key = files.key.display(),
        node = args.node,
        region = args.region,
        cluster = authority.cluster(),
        expires = date(pair.expires),
    ))
}

fn overwrite(force: bool) -> Overwrite {
    if force {
        Overwrite::Replace
    } else {
        Overwrite::Keep
    }
}

fn date(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn init_args(dir: &std::path::Path, force: bool) -> InitArgs {
        InitArgs {
            cluster: "dev".parse().unwrap(),
            dir: dir.to_owned(),
            days: 30,
            force,
        }
    }

    fn issue_args(dir: &std::path::Path, force: bool) -> IssueArgs {
        IssueArgs {
            region: "us-east".parse().unwrap(),
            node: "us-east-1".parse().unwrap(),
            dir: dir.to_owned(),
            days: 365,
            force,
        }
    }

    #[test]
    fn init_then_issue_says_what_was_written_and_what_comes_next() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("certs");
        let said = init(&init_args(&dir, false), SystemTime::now()).unwrap();
        assert!(
            said.contains("ca.pem") && said.contains("ca.key") && said.contains("atoll certs issue"),
            "{said}"
        );
        let said = issue(&issue_args(&dir, false), SystemTime::now()).unwrap();
        assert!(
            said.contains("us-east-1.pem") && said.contains("cluster dev") && said.contains("atoll serve"),
            "{said}"
        );
    }

    #[test]
    fn issue_without_an_authority_names_the_command_that_makes_one() {
        let folder = tempfile::tempdir().unwrap();
        let error = issue(&issue_args(folder.path(), false), SystemTime::now())
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("ca.pem") && error.contains("atoll certs init"),
            "{error}"
        );
    }

    #[test]
    fn nothing_is_replaced_without_force() {
        let folder = tempfile::tempdir().unwrap();
        init(&init_args(folder.path(), false), SystemTime::now()).unwrap();
        let before = std::fs::read(folder.path().join("ca.key")).unwrap();
        let error = init(&init_args(folder.path(), false), SystemTime::now())
            .unwrap_err()
            .to_string();
        assert!(error.contains("--force"), "{error}");
        assert_eq!(std::fs::read(folder.path().join("ca.key")).unwrap(), before);
        init(&init_args(folder.path(), true), SystemTime::now()).unwrap();
        assert_ne!(std::fs::read(folder.path().join("ca.key")).unwrap(), before);
    }

    #[test]
    fn an_expired_authority_issues_nothing() {
        let folder = tempfile::tempdir().unwrap();
        init(&init_args(folder.path(), false), SystemTime::now()).unwrap();
        let later = SystemTime::now() + std::time::Duration::from_secs(31 * 24 * 60 * 60);
        let error = issue(&issue_args(folder.path(), false), later).unwrap_err();
        assert!(matches!(error, CertsError::AuthorityExpired { .. }), "{error}");
    }
}
