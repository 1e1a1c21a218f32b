//! Which container images mean the built-in image classification algorithm.

use scones_api::ApiError;

/// The algorithm's repository in every region's registry.
const REPOSITORY: &str = "image-classification";

/// Accepts the URI of the built-in image classification algorithm in any region and partition:
/// `ACCOUNT.dkr.ecr.REGION.amazonaws.com/image-classification:1` or `:latest`, also without a
/// tag. <https://docs.aws.amazon.com/sagemaker/latest/dg-ecr-paths/sagemaker-algo-docker-registry-paths.html>
///
/// # Errors
/// A `ValidationException` that says which images run here.
pub(crate) fn check(image: &str) -> Result<(), ApiError> {
    if is_image_classification(image) {
        return Ok(());
    }
    Err(ApiError::validation(format!(
        "The image \"{image}\" cannot run here: Scones runs the built-in algorithm image-classification, whose image is \
         ACCOUNT.dkr.ecr.REGION.amazonaws.com/image-classification:1 (sagemaker.image_uris.retrieve(\
         \"image-classification\", REGION) gives it)"
    )))
}

fn is_image_classification(image: &str) -> bool {
    let Some((registry, repository)) = image.split_once('/') else {
        return false;
    };
    let name = repository.split_once(':').map_or((repository, "latest"), |parts| parts);
    is_registry(registry) && matches!(name, (REPOSITORY, "1" | "latest"))
}

/// `ACCOUNT.dkr.ecr.REGION.amazonaws.com`, `.amazonaws.com.cn` or an isolated partition's suffix.
fn is_registry(registry: &str) -> bool {
    let mut parts = registry.splitn(5, '.');
    let account = parts.next().unwrap_or_default();
    let service = [parts.next(), parts.next()];
    let region = parts.next().unwrap_or_default();
    let suffix = parts.next().unwrap_or_default();
    account.len() == 12
        && account.bytes().all(|byte| byte.is_ascii_digit())
        && matches!(service, [Some("dkr"), Some("ecr" | "ecr-fips")])
        && region.contains('-')
        && region
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && matches!(
            suffix,
            "amazonaws.com"
                | "amazonaws.com.cn"
                | "amazonaws.eu"
                | "c2s.ic.gov"
                | "sc2s.sgov.gov"
                | "cloud.adc-e.uk"
                | "csp.hci.ic.gov"
        )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_algorithm_is_known_in_every_region() {
        for (image, known) in [
            (
                "811284229777.dkr.ecr.us-east-1.amazonaws.com/image-classification:1",
                true,
            ),
            (
                "433757028032.dkr.ecr.us-west-2.amazonaws.com/image-classification:latest",
                true,
            ),
            (
                "387376663083.dkr.ecr.cn-northwest-1.amazonaws.com.cn/image-classification",
                true,
            ),
            (
                "226302683700.dkr.ecr.us-gov-west-1.amazonaws.com/image-classification:1",
                true,
            ),
            (
                "811284229777.dkr.ecr.us-east-1.amazonaws.com/image-classification:2",
                false,
            ),
            (
                "811284229777.dkr.ecr.us-east-1.amazonaws.com/image-classification-neo:1",
                false,
            ),
            (
                "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1",
                false,
            ),
            (
                "11284229777.dkr.ecr.us-east-1.amazonaws.com/image-classification:1",
                false,
            ),
            (
                "811284229777.dkr.ecr.us-east-1.example.com/image-classification:1",
                false,
            ),
            ("image-classification:1", false),
            ("", false),
        ] {
            assert_eq!(check(image).is_ok(), known, "{image}");
        }
    }
}
